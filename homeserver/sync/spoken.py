"""What was said live, and is kept nowhere, as `/sync` tells it: messages to the device, messages and receipts of ephemeral rooms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from homeserver.ephemeral import messages
from homeserver.live.ring import RECEIPT, TIMELINE, TO_DEVICE, Said
from homeserver.rooms import presenting
from homeserver.rooms.presenting import Viewer
from homeserver.storage import lines, windows
from homeserver.storage.transactions import Transaction
from homeserver.sync.selection import Selection, passes, wants_room
from homeserver.sync.telling import Changes, RoomChanges

MEMBER = "m.room.member"


@dataclass(slots=True)
class Spoken:
    """It, sorted: by room what belongs into the timeline, and the contents of receipts."""

    mail: list[bytes] = field(default_factory=list)
    timelines: dict[str, list[bytes]] = field(default_factory=dict)
    receipts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    speakers: set[tuple[str, str]] = field(default_factory=set)
    """(room, user) of those who said what is in the timelines."""


def sort(said: Iterable[Said], viewer: Viewer, selection: Selection, ignored: frozenset[str]) -> Spoken:
    """What a device is told of it, which wants this and ignores these users."""
    found, device = Spoken(), f"{viewer.user_id}/{viewer.device_id}"
    for one in said:
        if one.kind == TO_DEVICE:
            found.mail.append(one.raw)
        elif one.kind == TIMELINE and wants_room(selection.rooms, one.key) and wants_room(selection.rooms.timeline, one.key):
            sender, event = messages.told(one.raw, device)
            if sender not in ignored and passes(selection.rooms.timeline, messages.ENCRYPTED, sender):
                found.timelines.setdefault(one.key, []).append(event)
                found.speakers.add((one.key, sender))
        elif one.kind == RECEIPT and wants_room(selection.rooms, one.key) and passes(selection.rooms.ephemeral, "m.receipt", ""):
            found.receipts.setdefault(one.key, []).append({"type": "m.receipt", "content": orjson.loads(one.raw)})
    return found


def merged(found: Changes, spoken: Spoken, place: str, selection: Selection) -> Changes:
    """Changes of rooms with what was said there.  `place` is the token behind which there is nothing to page through."""
    if not spoken.timelines:
        return found
    left = dict(spoken.timelines)
    joined = [_with(room, left.pop(room.room_id, ())) for room in found.joined]
    spoken_in = {room_id: changes(room_id, events, place, selection) for room_id, events in left.items() if room_id in found.in_rooms}
    joined += [replace(room, account_data=found.room_data.get(room_id, ())) for room_id, room in spoken_in.items()]
    return replace(found, joined=joined)


def introduced(txn: Transaction, found: Changes, speakers: Iterable[tuple[str, str]]) -> Changes:
    """The same with the members who spoke, for a client that loads members lazily."""
    nums = windows.state_at_keys(txn, {(room_id, MEMBER, user) for room_id, user in speakers})
    if not nums:
        return found
    return replace(found, joined=[_introduced(txn, room, nums.get(room.room_id, {})) for room in found.joined])


def _introduced(txn: Transaction, room: RoomChanges, members: Mapping[tuple[str, str], int]) -> RoomChanges:
    new = {user: num for (_, user), num in members.items() if user not in room.introduced}
    if not new:
        return room
    shown = presenting.shared(txn, list(lines.by_number(txn, list(new.values())).values()), room_id=False)
    return replace(room, state=[*room.state, *shown], introduced=room.introduced | new.keys())


def changes(room_id: str, events: Sequence[bytes], place: str, selection: Selection) -> RoomChanges:
    """A room in which nothing else happened."""
    return RoomChanges(room_id, events, False, place, (), selection.state_after, None, (), False)


def _with(room: RoomChanges, events: Sequence[bytes]) -> RoomChanges:
    return replace(room, timeline=[*room.timeline, *events]) if events else room
