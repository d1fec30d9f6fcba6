"""Events as one viewer gets them: the stored bytes, spliced with what is true for that viewer only (`unsigned`).

Says nothing about who may see them: `visibility` has decided that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from homeserver.events import serving
from homeserver.events.identifiers import UserID
from homeserver.rooms import visibility
from homeserver.storage import events, lines, rooms
from homeserver.storage.events import Stored
from homeserver.storage.lines import Line
from homeserver.storage.transactions import Transaction

MEMBER = "m.room.member"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: the user, the device whose transaction ids are echoed, and the time that `age` is counted to."""

    user_id: UserID
    device_id: str | None
    now: int


def present(
    txn: Transaction,
    viewer: Viewer,
    batch: Sequence[Line],
    *,
    relations: Mapping[str, dict[str, Any]] | None = None,
    room_id: bool = True,
    known: Mapping[bytes, str] | None = None,
    aged: bool = True,
) -> list[bytes]:
    """The events in client format, each with its `unsigned`; `relations` are bundled aggregations by event id.

    `known` are memberships of the viewer by state root; given that, no others are looked up: of state, which was written at many
    different times, it would be expensive to say.

    spec: client-server-api#room-event-format, MSC4115 for `membership`
    """
    user = viewer.user_id
    others = {line.replaces for line in batch if line.replaces is not None}
    others |= {line.redacted_by for line in batch if line.redacted_by is not None}
    found = lines.by_number(txn, others) if others else {}
    sent = transactions(txn, viewer, batch)
    memberships = _memberships(txn, user, batch) if known is None else known
    shown = []
    for line in batch:
        unsigned: dict[str, Any] = {"age": max(0, viewer.now - line.ts)} if aged else {}
        membership = memberships.get(line.state_before or b"")
        if line.state_key == user and line.type == MEMBER and known != {}:
            membership = line.membership
        if membership is not None:
            unsigned["membership"] = membership
        if line.num in sent:
            unsigned["transaction_id"] = sent[line.num]
        if others:
            _add_others(txn, unsigned, line, found)
        if relations and line.event_id in relations:
            unsigned["m.relations"] = relations[line.event_id]
        shown.append(_spliced(txn, line, unsigned, room_id=room_id))
    return shown


def transactions(txn: Transaction, viewer: Viewer, batch: Iterable[Line]) -> Mapping[int, str]:
    """The transactions under which the viewer's device sent events, by their numbers."""
    own = [line.num for line in batch if line.sender == viewer.user_id] if viewer.device_id else []
    return events.transactions_of(txn, viewer.user_id, viewer.device_id or "", own) if own else {}


def _add_others(txn: Transaction, unsigned: dict[str, Any], line: Line, found: Mapping[int, Line]) -> None:
    """What other events have to do with this one: the state that it replaced, the redaction that removed its content."""
    replaced = found.get(line.replaces) if line.replaces is not None else None
    if replaced is not None:
        unsigned["prev_content"] = replaced.content
        unsigned["replaces_state"] = replaced.event_id
        unsigned["prev_sender"] = replaced.sender
    by = found.get(line.redacted_by) if line.redacted_by is not None else None
    if by is not None:
        unsigned["redacted_because"] = orjson.Fragment(_spliced(txn, by, {}, room_id=True))
        unsigned["redacted_by"] = by.event_id


def _spliced(txn: Transaction, line: Line, unsigned: dict[str, Any], *, room_id: bool) -> bytes:
    extra: dict[str, Any] = {"event_id": line.event_id}
    if room_id:
        extra["room_id"] = line.room_id
    if unsigned:
        extra["unsigned"] = unsigned
    if line.type != "m.room.redaction":
        return serving.spliced(line.body, extra)
    version = rooms.version(txn, line.room_id)
    assert version is not None, line.room_id
    return serving.spliced(serving.redaction_body(version, line.body), extra)


def array(events: Iterable[bytes]) -> orjson.Fragment:
    """Events as a JSON list; also several in one piece, with commas between them."""
    return orjson.Fragment(b"[" + b",".join(events) + b"]")


def shared(txn: Transaction, batch: Sequence[Line], *, room_id: bool = True) -> list[bytes]:
    """The events in client format, with what is true for every viewer and at any time: no age, no membership, no transaction."""
    nobody = Viewer(UserID(""), None, 0)
    return present(txn, nobody, batch, room_id=room_id, known={}, aged=False)


class Prepared(NamedTuple):
    """An event as members of its room see it, but for its end: its age, and the transaction of who sent it."""

    head: bytes
    ts: int


def prepared(txn: Transaction, batch: Sequence[Line]) -> list[Prepared]:
    """The events, without their room, for whoever was joined at all of them."""
    nobody = Viewer(UserID(""), None, 0)
    joined = {line.state_before or b"": "join" for line in batch}
    shown = present(txn, nobody, batch, room_id=False, known=joined, aged=False)
    return [Prepared(one[:-2], line.ts) for one, line in zip(shown, batch, strict=True)]


def ended(heads: Iterable[Prepared], now: int, transactions: Iterable[str | None]) -> list[bytes]:
    """The events, with the transaction under which the viewer's device sent each."""
    return [
        b'%b,"age":%d}}' % (head, max(0, now - ts))
        if sent is None
        else b'%b,"age":%d,"transaction_id":%b}}' % (head, max(0, now - ts), orjson.dumps(sent))
        for (head, ts), sent in zip(heads, transactions, strict=True)
    ]


def told(viewer: Viewer, stored: Stored, replaced: Stored | None, transaction: str | None = None) -> bytes:
    """An event that is new to all who are in the room, in the place of the state event `replaced`; nothing is known about it yet."""
    unsigned = {"age": max(0, viewer.now - stored.event.origin_server_ts), "membership": "join", **_replacing(replaced)}
    if transaction is not None:
        unsigned["transaction_id"] = transaction
    return serving.client_bytes(stored.event, unsigned, room_id=False)


def told_as_state(stored: Stored, replaced: Stored | None) -> bytes:
    """The same as a part of the state, like `shared`."""
    return serving.client_bytes(stored.event, _replacing(replaced), room_id=False)


def _replacing(replaced: Stored | None) -> dict[str, Any]:
    if replaced is None:
        return {}
    event = replaced.event
    return {"prev_content": event.content, "replaces_state": event.event_id, "prev_sender": event.sender}


def plain(stored: Stored) -> dict[str, Any]:
    """The event in client format as a dict, without anything that depends on a viewer."""
    event = stored.event
    shown: dict[str, Any] = {
        "type": event.type,
        "content": event.content,
        "sender": event.sender,
        "origin_server_ts": event.origin_server_ts,
        "event_id": event.event_id,
        "room_id": event.room_id,
    }
    if event.state_key is not None:
        shown["state_key"] = event.state_key
    if event.redacts is not None:
        shown["redacts"] = event.redacts
    return shown


def _memberships(txn: Transaction, user: UserID, batch: Sequence[Line]) -> dict[bytes, str]:
    """The viewer's membership at the state before each event, where that is known."""
    look = visibility.Look(txn, user)
    for line in batch:
        look.follow(line)
        if line.state_before is not None:
            look.at(line.state_before)
            look.follow(line)
    return look.memberships
