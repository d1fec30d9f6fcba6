"""Whether a restricted room lets somebody in, and who of this server may vouch for them.  spec: client-server-api#restricted-rooms"""

from dataclasses import dataclass

from homeserver.events.identifiers import UserID
from homeserver.rooms import openness, powers
from homeserver.storage import members, rooms, state
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

VOUCHER = "join_authorised_via_users_server"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`voucher` may let the user in; `elsewhere`: only another server can say; `open`: nobody needs to vouch."""

    voucher: UserID | None = None
    elsewhere: bool = False
    open: bool = False


def judge(txn: Transaction, room: Room, user: UserID) -> Verdict:
    """How the join rule stands to somebody who has no membership in the room."""
    event = state.view(txn, room.state_root, [openness.JOIN_RULES]).get(openness.JOIN_RULES)
    rule = event.content.get("join_rule") if event is not None else None
    if rule == "public":
        return Verdict(open=True)
    restricted = (rule == "restricted" and room.version.restricted_joins) or (
        rule == "knock_restricted" and room.version.knock_restricted
    )
    if event is None or not restricted:
        return Verdict()
    allowed = openness.allowed_rooms(event)
    known = [other for other in allowed if (found := rooms.get(txn, other)) is not None and not found.departed]
    if not any(members.is_joined(txn, other, user) for other in known):
        return Verdict(elsewhere=len(known) < len(allowed))
    who = voucher(txn, room)
    return Verdict(who, elsewhere=who is None)


def voucher(txn: Transaction, room: Room) -> UserID | None:
    """A member of this server with the power to invite: the strongest, so that it stays true the longest."""
    power = powers.current(txn, room)
    ours = members.local_joined(txn, room.room_id)
    strongest = max(ours, key=power.of, default=None)
    return strongest if strongest is not None and power.of(strongest) >= power.invite else None
