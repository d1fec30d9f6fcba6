"""Who may do what in a room as it stands now.  The levels themselves are `events.power`."""

from homeserver.events import rules
from homeserver.events.power import Power
from homeserver.storage import state
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


def current(txn: Transaction, room: Room) -> Power:
    """The power levels that hold in the room's current state."""
    return rules.power(room.version, state.view(txn, room.state_root, [rules.CREATE, rules.POWER_LEVELS]))
