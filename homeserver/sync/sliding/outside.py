"""What is told of rooms that the user is not in: invites and knocks as they were shown, and how rooms were when the user left.

Room by room: there are few of them.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from homeserver.rooms import places, presenting, visibility
from homeserver.storage import events, lines, rooms, state, windows
from homeserver.storage.events import Order, Stored
from homeserver.storage.lines import Line
from homeserver.storage.positions import Token
from homeserver.storage.transactions import Transaction
from homeserver.sync import changes
from homeserver.sync.room import full_state
from homeserver.sync.sliding.joined import AVATAR, NAME
from homeserver.sync.sliding.listing import GONE
from homeserver.sync.sliding.task import Reader, Task, Telling
from homeserver.sync.sliding.wanted import ANY, MEMBER


def tell(txn: Transaction, reader: Reader, tasks: Iterable[Task]) -> dict[str, Telling]:
    """What is told of each of the rooms."""
    wanted = {task.room_id: task for task in tasks}
    if not wanted:
        return {}
    last = events.by_number(txn, [task.chosen.room.num for task in wanted.values()])
    found = {}
    for room, task in wanted.items():
        own = last.get(task.chosen.room.num)
        if own is None:
            continue
        found[room] = (_left if task.chosen.room.membership in GONE else _offered)(txn, reader, task, own)
    return found


def _section(task: Task, reader: Reader) -> dict[str, Any]:
    room = task.chosen.room
    section: dict[str, Any] = {"bump_stamp": room.bumped, "membership": room.membership}
    if task.chosen.lists:
        section["lists"] = task.chosen.lists
    if task.since is None:
        section["initial"] = True
    if room.room_id in reader.direct:
        section["is_dm"] = True
    return section


def _offered(txn: Transaction, reader: Reader, task: Task, own: Stored) -> Telling:
    shown = changes.offered(txn, reader.viewer.user_id, task.room_id, own).events
    section = _section(task, reader) | {"invite_state": shown, "stripped_state": shown}
    for kind, field, content in (("m.room.name", "name", "name"), ("m.room.avatar", "avatar", "url")):
        for event in shown:
            if event.get("type") == kind and isinstance(text := (event.get("content") or {}).get(content), str) and text:
                section[field] = text
    return Telling(section, 0, fresh=True)


def _left(txn: Transaction, reader: Reader, task: Task, own: Stored) -> Telling:
    """The room up to the event with which the user left it; that event alone, if they never were in it."""
    section = _section(task, reader)
    user, limit = reader.viewer.user_id, task.chosen.limit
    if own.order is None or own.state_after is None or visibility.standing(txn, task.room_id, user).left_at is None:
        shown = presenting.present(txn, reader.viewer, [own.line][:limit], room_id=False)
        section |= {"timeline": [orjson.Fragment(event) for event in shown]}
        return Telling(section | {"required_state": []}, limit, fresh=True)
    visible, more = _visible(txn, reader, task, own.order)
    told = [line for line in visible if task.since is None or _is_after(line, task.since)]
    kept = told[max(0, len(told) - limit) :]
    before = kept[0].order if kept and kept[0].order is not None else (own.order[0], own.order[1] + 1)
    if limit:
        section["timeline"] = [orjson.Fragment(event) for event in presenting.present(txn, reader.viewer, kept, room_id=False)]
        section["limited"] = len(told) > limit or (more and len(told) == len(visible))
        section["prev_batch"] = places.text((before[0], before[1] - 1), reader.upto)
        section["num_live"] = sum(1 for line in kept if reader.seen is not None and _is_after(line, reader.seen))
    required = _required(txn, reader, task, own.state_after)
    if required or task.since is None:
        shown = presenting.shared(txn, required, room_id=False)
        section["required_state"] = [orjson.Fragment(event) for event in shown]
    if task.since is None:
        section |= _names(txn, own.state_after)
    return Telling(section, limit, (), tuple(line.event_id for line in kept), task.since is None)


def _is_after(line: Line, seen: Token) -> bool:
    return line.position is not None and not seen.covers(line.position)


def _visible(txn: Transaction, reader: Reader, task: Task, end: Order) -> tuple[list[Line], bool]:
    limit = task.chosen.limit + 1
    found = windows.newest(txn, {task.room_id: ((end[0], end[1] + 1), limit)})[task.room_id][::-1]
    more = len(found) == limit
    gaps = windows.gaps(txn, [task.room_id], found[0].order[0]) if found and found[0].order else {}
    latest = max((gap for gap in gaps.get(task.room_id, ()) if gap <= end), default=None)
    if latest is not None:
        later = [line for line in found if line.order is not None and line.order >= latest]
        found, more = later, more or len(later) < len(found)
    visible = visibility.shown_to_user(txn, reader.viewer.user_id, found)
    return [line for line in visible if line.state_key is not None or line.sender not in reader.ignored], more


def _required(txn: Transaction, reader: Reader, task: Task, root: bytes) -> list[Line]:
    """Of the state that the user left behind what is wanted; if they know the room, what of it is new."""
    wanted = task.chosen.wanted
    if task.since is None:
        room = rooms.get(txn, task.room_id)
        everybody = None if (MEMBER, ANY) in wanted.pairs else wanted.users
        whole = full_state(txn, room, root, everybody) if room is not None else []
        return [line for line in whole if wanted.matches(line.key)]
    changed = {
        key
        for low, high in task.since.ranges(reader.upto)
        for key in windows.state_changes(txn, [task.room_id], low, high).get(task.room_id, ())
        if wanted.matches(key)
    }
    then = state.numbers(txn, root, changed)
    found = lines.by_number(txn, then.values()) if then else {}
    return [line for line in found.values() if _is_after(line, task.since)]


def _names(txn: Transaction, root: bytes) -> dict[str, str]:
    nums = state.numbers(txn, root, [NAME, AVATAR])
    found = lines.by_number(txn, nums.values()) if nums else {}
    contents = {line.key: line.content for line in found.values()}
    texts = {"name": contents.get(NAME, {}).get("name"), "avatar": contents.get(AVATAR, {}).get("url")}
    return {field: text for field, text in texts.items() if isinstance(text, str) and text}
