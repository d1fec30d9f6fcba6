"""What is to be said to a pusher now: read in one transaction just before it is said, so that it is true."""

from collections.abc import Mapping
from dataclasses import dataclass

from homeserver.events.notable import thread_root
from homeserver.push import counting, spreading
from homeserver.push.gateway import News, Surroundings
from homeserver.storage import events, members, notable, state
from homeserver.storage.events import Stored
from homeserver.storage.notable import MAIN, NO_MARK, ROOM
from homeserver.storage.pushers import BADGE, Due
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Sorted:
    """What waits, sorted out: `news` to tell, oldest first, `void` numbers that need not be told any more, how much is `unread`."""

    news: Mapping[int, News]
    void: list[int]
    unread: int


def prepare(txn: Transaction, due: Due, oldest_ms: int) -> Sorted:
    """What to tell a pusher, oldest first; what was read meanwhile, or waits since before `oldest_ms`, is void."""
    user = due.pusher.user_id
    unread = unread_by(txn, user)
    nums = [what.num for what in due.waiting if what.num != BADGE]
    found = events.by_number(txn, nums)
    news: dict[int, News] = {}
    void = []
    for what in due.waiting:
        if what.num == BADGE:
            continue
        stored = found.get(what.num)
        said = _news(txn, user, stored, unread) if stored is not None and what.ts >= oldest_ms else None
        if said is None:
            void.append(what.num)
        else:
            news[what.num] = said
    return Sorted(news, void, unread)


def _news(txn: Transaction, user: str, stored: Stored, unread: int) -> News | None:
    verdict = spreading.notified(txn, stored, [user]).get(user)
    if verdict is None or stored.redacted_by is not None or _is_read(txn, user, stored):
        return None
    return News(stored.event, verdict.tweaks, _surroundings(txn, stored), unread)


def _is_read(txn: Transaction, user: str, stored: Stored) -> bool:
    marks = notable.marks(txn, user, [stored.event.room_id]).get(stored.event.room_id, {})
    thread = thread_root(stored.event.content) or MAIN
    return stored.order is not None and stored.order <= max(marks.get(ROOM, NO_MARK).order, marks.get(thread, NO_MARK).order)


def _surroundings(txn: Transaction, stored: Stored) -> Surroundings:
    event = stored.event
    sender = members.get(txn, event.room_id, event.sender)
    named = state.current_of_types(txn, event.room_id, ["m.room.name", "m.room.canonical_alias"])
    return Surroundings(
        sender.display_name if sender else None,
        _text(named.get(("m.room.name", "")), "name"),
        _text(named.get(("m.room.canonical_alias", "")), "alias"),
    )


def _text(stored: Stored | None, name: str) -> str | None:
    value = stored.event.content.get(name) if stored is not None else None
    return value if isinstance(value, str) and value else None


def unread_by(txn: Transaction, user: str) -> int:
    """How many notifications a user has not read, and invites."""
    rooms = [member for member in members.of_user(txn, user, ["join", "invite"]) if not member.forgotten]
    joined = [member.room_id for member in rooms if member.membership == "join"]
    found = counting.counts(txn, user, joined, spreading.ignored_by(txn, user))
    return sum(counts.total.notifications for counts in found.values()) + len(rooms) - len(joined)
