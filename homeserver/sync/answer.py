"""The JSON of a `/sync` answer, put together from bytes that are ready.  Pure.  spec: client-server-api#get_matrixclientv3sync"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.push.counting import Count, RoomCounts
from homeserver.rooms import presenting
from homeserver.sync.selection import Selection, passes
from homeserver.sync.telling import Changes, RoomChanges, Summary

NO_COUNTS = RoomCounts(Count(), {})


@dataclass(frozen=True, slots=True)
class Beside:
    """What comes from elsewhere than the rooms' events."""

    ephemeral: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    counts: Mapping[str, RoomCounts] = field(default_factory=dict)
    """What is unread in each of the rooms."""
    presence: Sequence[dict[str, Any]] = ()
    to_device: Sequence[bytes] = ()
    device_changed: Iterable[str] = ()
    device_left: Iterable[str] = ()
    key_counts: Mapping[str, int] = field(default_factory=dict)
    fallback_types: Sequence[str] = ()


def assemble(changes: Changes, beside: Beside, next_batch: str, selection: Selection) -> bytes:
    """The whole answer; parts that are empty are left out where clients do not need them."""
    answer = besides_rooms(changes, beside, next_batch, selection)
    rooms = {"join": joined(changes.joined, beside, selection), **other_rooms(changes)}
    rooms["join"] |= quiet_rooms(changes, beside, selection)
    if any(rooms.values()):
        answer["rooms"] = {name: section for name, section in rooms.items() if section}
    return orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS)  # room ids are a type of their own


def besides_rooms(changes: Changes, beside: Beside, next_batch: str, selection: Selection) -> dict[str, Any]:
    """What is not about single rooms."""
    answer: dict[str, Any] = {"next_batch": next_batch}
    entries = [data(kind, content) for kind, content in changes.account_data if passes(selection.filter.account_data, kind, "")]
    if entries:
        answer["account_data"] = {"events": entries}
    if beside.presence:
        answer["presence"] = {"events": beside.presence}
    if beside.to_device:
        answer["to_device"] = {"events": [orjson.Fragment(message) for message in beside.to_device]}
    answer.update(lists(beside.device_changed, beside.device_left))
    answer.update(key_state(beside.key_counts, beside.fallback_types))
    return answer


def lists(changed: Iterable[str], left: Iterable[str]) -> dict[str, Any]:
    """Whose keys are to be asked for again, and with whom no room is shared any more."""
    found = {key: sorted(users) for key, users in (("changed", changed), ("left", left)) if users}
    return {"device_lists": found} if found else {}


def key_state(counts: Mapping[str, int], fallback_types: Sequence[str]) -> dict[str, Any]:
    """What is left of the device's keys.  Always there, also when empty: clients read absence as "no news" and would not upload keys."""
    types = list(fallback_types)
    return {
        "device_one_time_keys_count": {"signed_curve25519": 0, **counts},
        "device_unused_fallback_key_types": types,
        "org.matrix.msc2732.device_unused_fallback_key_types": types,
    }


def is_news(changes: Changes, beside: Beside) -> bool:
    """Whether the answer would tell a waiting client anything."""
    return bool(
        changes.joined
        or changes.left
        or changes.invited
        or changes.knocked
        or changes.account_data
        or changes.room_data
        or beside.ephemeral
        or beside.presence
        or beside.to_device
        or beside.device_changed
        or beside.device_left
    )


def joined(rooms: Iterable[RoomChanges], beside: Beside, selection: Selection) -> dict[str, Any]:
    """The sections of rooms that the user is in."""
    return {room.room_id: _joined(room, beside, selection) for room in rooms}


def quiet_rooms(changes: Changes, beside: Beside, selection: Selection) -> dict[str, Any]:
    """The sections of rooms in which nothing happened that all of them keep."""
    others = (beside.ephemeral.keys() | changes.room_data.keys()) - {room.room_id for room in changes.joined}
    return {
        room_id: {
            **quiet([data(*entry) for entry in changes.room_data.get(room_id, ())], beside.ephemeral.get(room_id, ())),
            **counts(beside.counts.get(room_id, NO_COUNTS), selection.by_thread),
        }
        for room_id in others
    }


def quiet(entries: Sequence[dict[str, Any]], ephemeral: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is told of a room in which nothing was said, but for the counts."""
    sections = {"account_data": entries, "ephemeral": ephemeral}
    return {name: {"events": events} for name, events in sections.items() if events}


def other_rooms(changes: Changes) -> dict[str, Any]:
    """The sections of rooms that the user is not in."""
    sections = {
        "leave": {room.room_id: _left(room) for room in changes.left},
        "invite": {room.room_id: {"invite_state": {"events": room.events}} for room in changes.invited},
        "knock": {room.room_id: {"knock_state": {"events": room.events}} for room in changes.knocked},
    }
    return {name: section for name, section in sections.items() if section}


def _timeline(room: RoomChanges) -> dict[str, Any]:
    return {
        "events": presenting.array(room.timeline),
        "limited": room.limited,
        "prev_batch": room.prev_batch,
    }


def _state(room: RoomChanges) -> dict[str, Any]:
    found = {"events": presenting.array(room.state)}
    return {"org.matrix.msc4222.state_after": found, "state_after": found} if room.after else {"state": found}


def _joined(room: RoomChanges, beside: Beside, selection: Selection) -> dict[str, Any]:
    unread = counts(beside.counts.get(room.room_id, NO_COUNTS), selection.by_thread)
    return {**section(room, beside.ephemeral.get(room.room_id, ()), selection), **unread}


def section(room: RoomChanges, ephemeral: Sequence[dict[str, Any]], selection: Selection) -> dict[str, Any]:
    """What is told of a room that the user is in, but for the counts."""
    section = {
        "timeline": _timeline(room),
        **_state(room),
        "account_data": {"events": wanted_data(room.account_data, selection)},
        "ephemeral": {"events": ephemeral},
    }
    if room.summary is not None:
        section["summary"] = summary(room.summary)
    return section


def summary(found: Summary) -> dict[str, Any]:
    """How many are in a room, and whom to name it after."""
    numbers: dict[str, Any] = {"m.joined_member_count": found.joined, "m.invited_member_count": found.invited}
    return numbers if found.heroes is None else {**numbers, "m.heroes": found.heroes}


def _left(room: RoomChanges) -> dict[str, Any]:
    return {"timeline": _timeline(room), **_state(room), "account_data": {"events": []}}


def data(kind: str, content: bytes) -> dict[str, Any]:
    """An entry of account data."""
    return {"type": kind, "content": orjson.Fragment(content)}


def wanted_data(entries: Iterable[tuple[str, bytes]], selection: Selection) -> list[dict[str, Any]]:
    """The entries of a room's account data that a filter lets through."""
    return [data(kind, content) for kind, content in entries if passes(selection.rooms.account_data, kind, "")]


def counts(counted: RoomCounts, by_thread: bool) -> dict[str, Any]:
    """How much is unread, as the client asked for it: all in one number, or by thread."""
    shown = counted.main if by_thread else counted.total
    section: dict[str, Any] = {
        "unread_notifications": {"notification_count": shown.notifications, "highlight_count": shown.highlights}
    }
    if by_thread and counted.threads:
        section["unread_thread_notifications"] = {
            root: {"notification_count": count.notifications, "highlight_count": count.highlights}
            for root, count in counted.threads.items()
        }
    return section
