"""What is told of rooms that the user is in: for all of them at once, in a number of statements that does not grow with the rooms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import orjson

from homeserver.relations import bundling
from homeserver.rooms import places, presenting, visibility
from homeserver.rooms.presenting import Prepared, Viewer
from homeserver.storage import lines, looks, windows
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.positions import Token
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction
from homeserver.storage.windows import Hero, Look
from homeserver.sync.sliding.connection import remembered
from homeserver.sync.sliding.task import Reader, Task, Telling
from homeserver.sync.sliding.wanted import ANY, MEMBER

END: Order = (2**62, 0)
NAME, AVATAR = ("m.room.name", ""), ("m.room.avatar", "")
HEROES = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """The timeline of a room; `before` is the place in front of it, `live` how many of its events just happened."""

    events: Sequence[Line]
    limited: bool
    expanded: bool
    before: Order
    live: int
    known: bool
    """The user was in the room at all these events."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """What of a room's state is told: event numbers, keys that are gone, and what of it is new to the client."""

    nums: Mapping[Key, int]
    gone: Sequence[Key] = ()
    name: bool = False
    avatar: bool = False
    members: bool = False


def tell(txn: Transaction, reader: Reader, tasks: Iterable[Task]) -> dict[str, Telling]:
    """What is told of each of the rooms, all of which the user is joined to."""
    wanted = {task.room_id: task for task in tasks}
    if not wanted:
        return {}
    windows.remember_versions(txn, (task.chosen.room for task in wanted.values()))
    came = looks.came(txn, reader.viewer.user_id, {room: task.chosen.room.moved for room, task in wanted.items()})
    wanted = {room: _again(task, came.get(room)) for room, task in wanted.items()}
    timelines = _timelines(txn, reader, wanted, {room: order for room, (_, order) in came.items()})
    pieces, names = _state(txn, reader, wanted, timelines)
    loaded = _load(txn, wanted, pieces, names)
    texts = {room: _texts(loaded, some) for room, some in names.items()}
    nameless = [room for room, piece in pieces.items() if (piece.members or piece.name) and not texts.get(room, {}).get("name")]
    heroes = windows.heroes(txn, reader.viewer.user_id, nameless, HEROES) if nameless else {}
    shown = _present(txn, reader, wanted, timelines)
    state = _present_state(pieces, loaded)
    told = {}
    for room, task in wanted.items():
        section = _section(task, timelines[room], reader)
        section |= _names(pieces[room], texts.get(room, {}), task.since is None)
        if pieces[room].members:
            section |= {"joined_count": task.chosen.room.joined, "invited_count": task.chosen.room.invited}
        if heroes.get(room):
            section["heroes"] = [_hero(hero) for hero in heroes[room]]
        if state[room] or task.since is None:
            section["required_state"] = state[room]
        if task.chosen.limit:
            section["timeline"] = shown[room]
        limit, ids = _limit(task, timelines[room]), _ids(timelines[room])
        told[room] = Telling(section, limit, _members(task, pieces[room]), ids, task.since is None, timelines[room].expanded)
    return told


def _again(task: Task, came: tuple[int, Order] | None) -> Task:
    """Who left and came back meanwhile starts anew."""
    if task.since is not None and came is not None and not task.since.covers(came[0]):
        return replace(task, since=None)
    return task


def _timelines(txn: Transaction, reader: Reader, tasks: Mapping[str, Task], came: Mapping[str, Order]) -> dict[str, Shown]:
    wanted = {room: (task.chosen.room.look, task.chosen.limit + 1) for room, task in tasks.items()}
    newest = windows.latest(txn, wanted)
    orders = {room: some[-1].place[0] for room, some in newest.items() if some}
    gaps = looks.gaps(txn, {room: wanted[room] for room in orders}, orders.__getitem__)
    shown = {}
    for room, task in tasks.items():
        found = newest[room][::-1]
        more = len(found) > task.chosen.limit
        if not reader.upto.covers_all([line.position for line in found if line.position is not None]):
            found = [line for line in found if line.position is None or reader.upto.covers(line.position)]
        latest = max((gap for gap in gaps.get(room, ()) if found and gap <= found[-1].place), default=None)
        if latest is not None and latest >= found[0].place:
            found, more = [line for line in found if line.place >= latest], True
        since_join = came.get(room, END)
        early = [line for line in found if line.place < since_join] if found and found[0].place < since_join else []
        visible = [*visibility.shown_to_member(txn, reader.viewer.user_id, early), *found[len(early) :]]
        shown[room] = _cut(task, reader, visible, found, more, not early)
    return shown


def _cut(task: Task, reader: Reader, visible: list[Line], found: list[Line], more: bool, known: bool) -> Shown:
    """Of the last events those that are told."""
    limit, since = task.chosen.limit, task.since
    fresh = visible if since is None else [line for line in visible if _is_after(line, since)]
    old = visible[: len(visible) - len(fresh)]
    # Only what the client does not have makes it worth to tell events again.
    expanded = task.longer and task.told is not None and min(len(old), limit - len(fresh)) > task.told.limit
    told = visible if expanded else fresh
    kept = told[max(0, len(told) - limit) :]
    limited = len(told) > limit or (more and len(told) == len(visible))
    before = kept[0].place if kept else (found[-1].place[0], found[-1].place[1] + 1) if found else (task.chosen.room.last, 1)
    seen = reader.seen if since is None else since
    live = 0 if seen is None else sum(1 for line in kept if _is_after(line, seen))
    if reader.ignored:
        kept = [line for line in kept if line.state_key is not None or line.sender not in reader.ignored]
    return Shown(kept, limited, expanded, (before[0], before[1] - 1), min(live, len(kept)), known)


def _is_after(line: Line, seen: Token) -> bool:
    return line.position is not None and not seen.covers(line.position)


def _ids(shown: Shown) -> tuple[str, ...]:
    return tuple(line.event_id for line in shown.events)


def _limit(task: Task, shown: Shown) -> int:
    """How many of the latest events the client has without a gap, at least."""
    if task.since is None or task.told is None or shown.expanded or shown.limited:
        return task.chosen.limit
    return max(task.told.limit, task.chosen.limit)


def _state(
    txn: Transaction, reader: Reader, tasks: Mapping[str, Task], timelines: Mapping[str, Shown]
) -> tuple[dict[str, Pieces], windows.State]:
    """What of the state is told of each room, and the numbers of their names and avatars."""
    changes = _changes(txn, reader, tasks)
    whole = {room: task for room, task in tasks.items() if task.since is None or task.wider}
    types = {kind for task in whole.values() for kind, _ in task.chosen.wanted.pairs} - {MEMBER, ANY}
    seen = {room: task.chosen.room.look for room, task in tasks.items()}
    current = looks.state_of_types(txn, seen, frozenset(types | {NAME[0], AVATAR[0]}))
    wide = [room for room, task in whole.items() if task.chosen.wanted.wide]
    everybody = [room for room, task in whole.items() if MEMBER in task.chosen.wanted.types]
    lazy = {room: _concerned(timelines[room]) for room, task in tasks.items() if task.chosen.wanted.lazy}
    users = {room: frozenset(task.chosen.wanted.users) for room, task in whole.items()}
    found = [
        current,
        windows.state_without_members(txn, wide) if wide else {},
        windows.state_of_types(txn, everybody, [MEMBER]) if everybody else {},
        looks.members(txn, seen, lazy),
        looks.members(txn, seen, users),
    ]
    pieces = {}
    for room, task in tasks.items():
        now = {key: num for part in found for key, num in part.get(room, {}).items()}
        pieces[room] = _pieces(task, changes.get(room, {}), now, lazy.get(room, frozenset()), timelines[room])
    return pieces, {room: {key: some[key] for key in (NAME, AVATAR) if key in some} for room, some in current.items()}


def _changes(txn: Transaction, reader: Reader, tasks: Mapping[str, Task]) -> dict[str, dict[Key, int | None]]:
    spans: dict[Token, list[str]] = {}
    for room, task in tasks.items():
        if task.since is not None:
            spans.setdefault(task.since, []).append(room)
    found: dict[str, dict[Key, int | None]] = {}
    for since, rooms in spans.items():
        for low, high in since.ranges(reader.upto):
            for room, changes in windows.state_changes(txn, rooms, low, high).items():
                found.setdefault(room, {}).update(changes)
    return found


def _concerned(shown: Shown) -> frozenset[str]:
    """Who matters for a timeline: who says something in it, and of whom it says that they came or went."""
    senders = frozenset([line.sender for line in shown.events])
    return senders | {line.key[1] for line in shown.events if line.type == MEMBER and line.state_key is not None}


def _pieces(task: Task, changes: Mapping[Key, int | None], now: Mapping[Key, int], lazy: frozenset[str], shown: Shown) -> Pieces:
    wanted, told = task.chosen.wanted, task.told
    if task.since is None:
        nums = {key: num for key, num in now.items() if wanted.matches(key)}
        gone: list[Key] = []
        changed = {NAME: 1, AVATAR: 1, (MEMBER, ""): 1}.keys()
    else:
        everybody = wanted.lazy and not shown.limited
        tells = {key: num for key, num in changes.items() if wanted.matches(key) or (everybody and key[0] == MEMBER)}
        nums = {key: num for key, num in tells.items() if num is not None}
        gone = [key for key, num in tells.items() if num is None]
        if task.wider and told is not None:
            nums |= {key: num for key, num in now.items() if wanted.matches(key) and not told.wanted.matches(key)}
        changed = {(MEMBER, "") if kind == MEMBER else (kind, key): 1 for kind, key in changes}.keys()
    known = () if task.since is None or told is None else told.members
    for user in lazy:
        key = (MEMBER, user)
        if key in now and now[key] not in known:
            nums.setdefault(key, now[key])
    return Pieces(nums, gone, NAME in changed, AVATAR in changed, (MEMBER, "") in changed)


def _members(task: Task, pieces: Pieces) -> tuple[int, ...]:
    if not task.chosen.wanted.lazy:
        return ()
    known = task.told.members if task.told is not None and task.since is not None else ()
    return remembered(known, (num for (kind, _), num in pieces.nums.items() if kind == MEMBER))


def _section(task: Task, shown: Shown, reader: Reader) -> dict[str, Any]:
    room = task.chosen.room
    section: dict[str, Any] = {"bump_stamp": room.bumped, "membership": "join"}
    if task.chosen.lists:
        section["lists"] = task.chosen.lists
    if task.since is None:
        section["initial"] = True
    direct = room.room_id in reader.direct
    if direct or (task.told is not None and task.told.dm != direct):
        section["is_dm"] = direct
    if task.chosen.limit:
        section |= {"num_live": shown.live, "limited": shown.limited, "prev_batch": places.text(shown.before, reader.upto)}
    if shown.expanded:
        section["expanded_timeline"] = section["unstable_expanded_timeline"] = True
    return section


def _load(
    txn: Transaction, tasks: Mapping[str, Task], pieces: Mapping[str, Pieces], names: windows.State
) -> dict[int, tuple[Line, bytes]]:
    """State events by number, each also as it is shown to everybody: as long as nothing is removed in its room, it stays as it is."""
    removals = {
        num: task.chosen.room.look.removals
        for room, task in tasks.items()
        for nums in (pieces[room].nums, names.get(room, {}))
        for num in nums.values()
    }

    def load(missing: list[int]) -> dict[int, tuple[Line, bytes]]:
        read = lines.by_number(txn, missing)
        return dict(zip(read, zip(read.values(), presenting.shared(txn, list(read.values()), room_id=False), strict=True), strict=True))

    return looks.kept(txn, "state event", removals, load, lambda some: 1000 + 2 * len(some[1]))


def _texts(loaded: Mapping[int, tuple[Line, bytes]], nums: Mapping[Key, int]) -> dict[str, str]:
    """What a room is called, and its picture."""
    found = {}
    for key, field in ((NAME, "name"), (AVATAR, "url")):
        text = loaded[nums[key]][0].content.get(field) if key in nums and nums[key] in loaded else None
        if isinstance(text, str) and text:
            found[key[0][len("m.room.") :]] = text
    return found


def _names(pieces: Pieces, texts: Mapping[str, str], fresh: bool) -> dict[str, str | None]:
    """Name and avatar, where the client does not know them yet; null where there is none any more."""
    told = (("name", pieces.name), ("avatar", pieces.avatar))
    return {field: texts.get(field) for field, new in told if new and (field in texts or not fresh)}


def _hero(hero: Hero) -> dict[str, str]:
    found = {"user_id": hero.user_id, "displayname": hero.name, "avatar_url": hero.avatar}
    return {key: value for key, value in found.items() if value is not None}


def _present(txn: Transaction, reader: Reader, tasks: Mapping[str, Task], timelines: Mapping[str, Shown]) -> dict[str, orjson.Fragment]:
    """The timelines in client format: together, but for those rooms in which more has to be looked up."""
    viewer, seen = reader.viewer, {room: task.chosen.room.look for room, task in tasks.items()}
    related = looks.related(txn, seen, {room: _ids(shown) for room, shown in timelines.items()}, bundling.KINDS)
    found: dict[str, orjson.Fragment] = {}
    for room in related:
        shown = timelines[room]
        relations = bundling.bundles(txn, viewer, shown.events, reader.ignored)
        known = {line.state_before: "join" for line in shown.events if line.state_before is not None} if shown.known else None
        found[room] = presenting.array(presenting.present(txn, viewer, shown.events, room_id=False, relations=relations, known=known))
    others = {room: shown for room, shown in timelines.items() if room not in related}
    early = [room for room, shown in others.items() if not shown.known]
    rest = iter(presenting.present(txn, viewer, [line for room in early for line in others[room].events], room_id=False))
    for room in early:
        found[room] = presenting.array(islice(rest, len(others[room].events)))
    return found | _to_members(txn, viewer, {room: shown.events for room, shown in others.items() if shown.known}, seen)


def _to_members(
    txn: Transaction, viewer: Viewer, events: Mapping[str, Sequence[Line]], seen: Mapping[str, Look]
) -> dict[str, orjson.Fragment]:
    """The same of rooms in which the viewer was at all these events: that is the same for all of them."""

    def load(missing: list[tuple[str, tuple[int, ...]]]) -> dict[tuple[str, tuple[int, ...]], list[Prepared]]:
        made = iter(presenting.prepared(txn, [line for room, _ in missing for line in events[room]]))
        return {(room, nums): list(islice(made, len(nums))) for room, nums in missing}

    wanted = {(room, tuple([line.num for line in some])): seen[room].removals for room, some in events.items()}
    heads = looks.kept(txn, "timeline", wanted, load, lambda some: 200 + sum(150 + len(one.head) for one in some))
    sent = presenting.transactions(txn, viewer, [line for some in events.values() for line in some])
    return {
        room: presenting.array(presenting.ended(heads[room, nums], viewer.now, map(sent.get, nums))) for room, nums in wanted
    }


def _present_state(pieces: Mapping[str, Pieces], loaded: Mapping[int, tuple[Line, bytes]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for room, piece in pieces.items():
        found[room] = [orjson.Fragment(loaded[num][1]) for num in piece.nums.values() if num in loaded]
        found[room] += [{"type": kind, "state_key": key} for kind, key in piece.gone]
    return found
