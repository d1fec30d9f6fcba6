"""What was said live, as sliding sync tells it: messages in timelines, receipts and messages to the device among the extensions.  Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from homeserver.rooms import places, presenting
from homeserver.storage.positions import Token
from homeserver.storage.windows import Listed
from homeserver.sync.selection import Selection
from homeserver.sync.sliding.connection import State
from homeserver.sync.sliding.extensions import Beside
from homeserver.sync.sliding.listing import View
from homeserver.sync.sliding.request import Extensions
from homeserver.sync.spoken import Spoken

EVERYTHING = Selection()


def audience(rooms: Sequence[Listed], view: View, known: State) -> dict[str, Listed]:
    """The rooms whose timeline the client wants, of those that it looks at now or was told of before."""

    def limit(room: Listed) -> int:
        if room.room_id in view.rooms:
            return view.rooms[room.room_id].limit
        told = known.rooms.get(room.room_id)
        return told.limit if told is not None and told.membership == "join" else 0

    return {room.room_id: room for room in rooms if room.membership == "join" and limit(room)}


def merged(
    sections: Mapping[str, dict[str, Any]], timelines: Mapping[str, Sequence[bytes]], audience: Mapping[str, Listed], upto: Token
) -> dict[str, dict[str, Any]]:
    """The sections of rooms with what was said there, each message behind what is stored."""
    found = dict(sections)
    for room_id, events in timelines.items():
        room = audience.get(room_id)
        if room is None:
            continue
        section = found.get(room_id, {"bump_stamp": room.bumped, "membership": "join"})
        stored = orjson.dumps(section.get("timeline", ()))[1:-1]
        if "timeline" not in section:
            section |= {"limited": False, "prev_batch": places.text((room.last, 1), upto)}
        found[room_id] = {
            **section,
            "num_live": section.get("num_live", 0) + len(events),
            "timeline": presenting.array([*([stored] if stored else []), *events]),
        }
    return found


def introduce(sections: dict[str, dict[str, Any]], members: Mapping[str, Sequence[Any]]) -> None:
    """Tell who is speaking, in the rooms that are told of."""
    for room_id, events in members.items():
        if events and room_id in sections:
            section = sections[room_id]
            sections[room_id] = {**section, "required_state": [*section.get("required_state", ()), *events]}


def add(beside: Beside, heard: Spoken, wishes: Extensions, rooms: frozenset[str]) -> None:
    """Tell it among the extensions that were asked for, receipts for these rooms."""
    if heard.mail and "to_device" in beside.answer:
        section = beside.answer["to_device"]
        mail = [orjson.Fragment(message) for message in heard.mail]
        beside.add("to_device", {**section, "events": [*section.get("events", ()), *mail]}, True)
    receipts = {room: events for room, events in heard.receipts.items() if room in rooms and wishes.receipts.enabled}
    if receipts:
        shown = dict(beside.answer.get("receipts", {}).get("rooms", {}))
        for room, events in receipts.items():
            content = dict(shown[room]["content"]) if room in shown else {}
            for event in events:
                _merge(content, event["content"])
            shown[room] = {"type": "m.receipt", "content": content}
        beside.add("receipts", {"rooms": shown}, True)


def _merge(content: dict[str, Any], more: dict[str, Any]) -> None:
    for event_id, kinds in more.items():
        for kind, users in kinds.items():
            content[event_id] = {**content.get(event_id, {}), kind: {**content.get(event_id, {}).get(kind, {}), **users}}
