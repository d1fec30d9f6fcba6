"""How much is unread: numbers less numbers, corrected by the rows of the few events that are different, under the user's own rules.

Where the rules say the same of all ordinary events of a room, no event is read.  `docs/architecture.md`, "Counts".
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from homeserver.events.notable import thread_root
from homeserver.push import reading, verdicts
from homeserver.push.conditions import Occasion, Reader
from homeserver.push.unread import may_notify
from homeserver.push.verdicts import Compiled, Effect, Outlook
from homeserver.storage import events, members, notable, rooms
from homeserver.storage.notable import MAIN, NO_MARK, ROOM, Marks, Numbers, Spot
from homeserver.storage.transactions import Transaction

MAX_READ = 500  # events that are read for a user whose rules say of each something else; what is older counts as read
NOBODY: frozenset[str] = frozenset()


class Count(NamedTuple):
    """Unread notifications, and those of them that are to be highlighted."""

    notifications: int = 0
    highlights: int = 0

    def plus(self, other: "Count") -> "Count":
        """Both together."""
        return Count(self.notifications + other.notifications, self.highlights + other.highlights)


class RoomCounts(NamedTuple):
    """What a user has not read in a room: on the main timeline, and in threads where there is something."""

    main: Count
    threads: Mapping[str, Count]
    each: int | None = None
    """What one more ordinary message of somebody else adds; None where that depends on more than is known."""
    sizes: tuple[int, int] | None = None
    """The least and the largest number of members with which all this is so, whoever comes or goes; None where that is not known."""

    def with_more(self, messages: int) -> "RoomCounts":
        """After so many more ordinary messages of others; `each` must be known."""
        assert self.each is not None
        if not self.each:
            return self
        main = Count(self.main.notifications + messages * self.each, self.main.highlights)
        return RoomCounts(main, self.threads, self.each, self.sizes)

    @property
    def total(self) -> Count:
        """All of it."""
        total = self.main
        for count in self.threads.values():
            total = total.plus(count)
        return total


NOTHING = RoomCounts(Count(), {}, 0)


@dataclass(frozen=True)
class _Room:
    """What is known of one room for one user."""

    room_id: str
    numbers: Numbers
    marks: Marks
    threads: Mapping[str, tuple[int, int]]
    own: list[Spot]
    shared: list[Spot]
    outlook: Outlook

    def is_unread(self, spot: Spot) -> bool:
        return spot.order > self.marks.get(spot.thread, NO_MARK).order

    def plain(self) -> dict[str, int]:
        """Unread events that count as such, by thread."""
        whole, main = self.marks.get(ROOM, NO_MARK), self.marks.get(MAIN, NO_MARK)
        found = {MAIN: (self.numbers.notable - self.numbers.in_threads) - max(whole.n - whole.base, main.n)}
        for root, (now, base) in self.threads.items():
            found[root] = now - max(base, self.marks.get(root, NO_MARK).n)
        return found


def counts(txn: Transaction, user: str, room_ids: Iterable[str], ignored: frozenset[str] = NOBODY) -> dict[str, RoomCounts]:
    """What `user`, joined to the rooms, has not read in each; events of the `ignored` do not count."""
    wanted = list(room_ids)
    if not wanted:
        return {}
    rules = reading.rules_of(txn, [user])[user]
    suspects = rules.senders | ignored
    watched = notable.watched(txn, wanted, suspects) if suspects else set()
    # Whoever has no mark in a room came to it in a way that nobody saw (a resolution of state): until they read something nothing counts.
    all_marks, numbers = notable.standing(txn, user, wanted)
    marks = {room: all_marks[room] for room in numbers}
    changed = [room for room, now in numbers.items() if now.notable > marks[room][ROOM].n]
    threads = notable.unread_threads(txn, user, [room for room in changed if numbers[room].in_threads])
    own, shared = notable.unread_highlights(txn, user, wanted)
    encrypted: set[str] | None = None
    result = dict.fromkeys(wanted, NOTHING)
    for room_id, now in numbers.items():
        outlook = rules.outlook(room_id, now.members, room_id in watched)
        room = _Room(room_id, now, marks[room_id], threads.get(room_id, {}), own.get(room_id, []), shared.get(room_id, []), outlook)
        effect = outlook.message
        asked = outlook.message == outlook.encrypted
        if outlook.message != outlook.encrypted and (room_id in changed or room.own or room.shared):
            encrypted = notable.encrypted(txn, wanted) if encrypted is None else encrypted
            effect = outlook.encrypted if room_id in encrypted else outlook.message
            asked = True
        odd = any(spot.reason == verdicts.ODD for spot in room.shared)
        if room_id in watched or effect is None or effect.highlight or outlook.others or odd:
            result[room_id] = _by_reading(txn, user, rules, room, ignored)
        elif room_id in changed or room.own or room.shared:
            result[room_id] = _by_numbers(room, effect)
        else:
            result[room_id] = NOTHING._replace(each=int(effect.notify) if asked else None)
        if result[room_id].each is not None and not suspects:
            result[room_id] = result[room_id]._replace(sizes=rules.alike(now.members))
    return result


def _by_numbers(room: _Room, effect: Effect) -> RoomCounts:
    """Numbers, and rows in the place of those events that have one."""
    if not (room.own or room.shared or room.threads):
        unread = room.plain()[MAIN] if effect.notify else 0
        return RoomCounts(Count(max(0, unread)), {}, int(effect.notify) if unread >= 0 else None)
    notifications = Counter(room.plain() if effect.notify else {})
    highlights: Counter[str] = Counter()
    own = [] if room.outlook.hushed else [spot for spot in room.own if room.is_unread(spot)]
    seen = {spot.num for spot in own}
    shared = [_decided(room, spot, effect) for spot in room.shared if room.is_unread(spot) and spot.num not in seen]
    for spot in own + shared:
        notifications[spot.thread] += int(spot.notify) - int(spot.counted and effect.notify)
        highlights[spot.thread] += int(spot.highlight)
    found = _split(notifications, highlights)
    # Below nothing there is nothing, but one more would not be seen either.
    return found._replace(each=int(effect.notify) if notifications[MAIN] >= 0 else None)


def _decided(room: _Room, spot: Spot, effect: Effect) -> Spot:
    """What the user's rules say of an event that concerns the whole room."""
    expected = room.outlook.wide.get(spot.reason)
    return Spot(spot.num, spot.thread, spot.order, spot.counted, *(effect if expected is None else expected))


def _split(notifications: Counter[str], highlights: Counter[str]) -> RoomCounts:
    found = {thread: Count(max(0, notifications[thread]), highlights[thread]) for thread in notifications.keys() | highlights.keys()}
    return RoomCounts(found.pop(MAIN, Count()), {root: count for root, count in found.items() if count != Count()})


def _by_reading(txn: Transaction, user: str, rules: Compiled, room: _Room, ignored: frozenset[str]) -> RoomCounts:
    """Ask the rules about each event, the newest `MAX_READ`."""
    found = rooms.get(txn, room.room_id)
    assert found is not None
    after = room.marks.get(ROOM, NO_MARK).order
    roots = {spot.num: None if spot.thread == MAIN else spot.thread for spot in room.own + room.shared}
    roots.update(notable.unread_events(txn, room.room_id, after, MAX_READ, others=room.outlook.others))
    member = members.get(txn, room.room_id, user)
    reader = Reader(user, member.display_name if member else None)
    notifications: Counter[str] = Counter()
    highlights: Counter[str] = Counter()
    for num, stored in events.by_number(txn, roots).items():
        event = stored.event
        thread = roots[num] or thread_root(event.content) or MAIN
        if event.sender == user or event.sender in ignored or stored.order is None or stored.order <= room.marks.get(thread, NO_MARK).order:
            continue
        occasion = Occasion(event, room.numbers.members, lambda key, stored=stored: may_notify(txn, found, stored, key))  # type: ignore[misc]
        effect = rules.judge(occasion, reader).effect
        notifications[thread] += int(effect.notify)
        highlights[thread] += int(effect.highlight)
    return _split(notifications, highlights)
