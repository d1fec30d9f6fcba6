"""To which thread an event belongs.  spec: client-server-api#threading"""

from homeserver.events.event import Event
from homeserver.events.notable import relation
from homeserver.storage import events
from homeserver.storage.notable import MAIN
from homeserver.storage.transactions import Transaction

HOPS = 3


def thread_of(txn: Transaction, event: Event) -> str:
    """The root of the event's thread, found over relations of relations, or `main`."""
    here = event
    for _ in range(HOPS):
        kind, target = relation(here.content)
        if target is None or kind is None:
            return MAIN
        if kind == "m.thread":
            return target
        found = events.get(txn, event.room_id, target)
        if found is None:
            return MAIN
        here = found.event
    return MAIN


def related(txn: Transaction, event: Event, root: str) -> bool:
    """Whether a receipt for the event may be one for the thread `root`: it is the root, or is related to it over a few hops."""
    here = event
    for _ in range(HOPS + 1):
        if here.event_id == root:
            return True
        _, target = relation(here.content)
        if target == root:
            return True
        found = events.get(txn, event.room_id, target) if target is not None else None
        if found is None:
            return False
        here = found.event
    return False
