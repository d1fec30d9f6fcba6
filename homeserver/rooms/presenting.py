"""Events as one viewer gets them: the stored bytes, spliced with what is true for that viewer only (`unsigned`).

Says nothing about who may see them: `visibility` has decided that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events import serving
from homeserver.events.identifiers import UserID
from homeserver.storage import events, state
from homeserver.storage.events import Stored
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: the user, the device whose transaction ids are echoed, and the time that `age` is counted to."""

    user_id: UserID
    device_id: str | None
    now: int


def present(
    txn: Transaction,
    viewer: Viewer,
    batch: Sequence[Stored],
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
    if not batch:
        return []
    others = {num for stored in batch for num in (stored.redacted_by, stored.replaces) if num is not None}
    found = events.by_number(txn, others) if others else {}
    own = [stored.num for stored in batch if stored.event.sender == viewer.user_id]
    sent = events.transactions_of(txn, viewer.user_id, viewer.device_id, own) if own and viewer.device_id else {}
    memberships: dict[bytes, str] = {}
    shown = []
    for stored in batch:
        unsigned: dict[str, Any] = {"age": max(0, viewer.now - stored.event.origin_server_ts)} if aged else {}
        if known is None:
            membership = _membership(txn, viewer.user_id, stored, memberships)
        else:
            membership = known.get(stored.state_before or b"")
        if membership is not None:
            unsigned["membership"] = membership
        if stored.num in sent:
            unsigned["transaction_id"] = sent[stored.num]
        replaced = found.get(stored.replaces) if stored.replaces is not None else None
        if replaced is not None:
            unsigned["prev_content"] = replaced.event.content
            unsigned["replaces_state"] = replaced.event.event_id
            unsigned["prev_sender"] = replaced.event.sender
        by = found.get(stored.redacted_by) if stored.redacted_by is not None else None
        if by is not None:
            unsigned["redacted_because"] = plain(by)
            unsigned["redacted_by"] = by.event.event_id
        if relations and stored.event.event_id in relations:
            unsigned["m.relations"] = relations[stored.event.event_id]
        shown.append(serving.client_bytes(stored.event, unsigned, room_id=room_id))
    return shown


def shared(txn: Transaction, batch: Sequence[Stored]) -> list[bytes]:
    """The events in client format, with what is true for every viewer and at any time: no age, no membership, no transaction."""
    nobody = Viewer(UserID(""), None, 0)
    return present(txn, nobody, batch, known={}, aged=False)


def ordinary(viewer: Viewer, stored: Stored) -> bytes:
    """An event that nothing is known about beside itself, sent by somebody else to a room that the viewer is in."""
    unsigned = {"age": max(0, viewer.now - stored.event.origin_server_ts), "membership": "join"}
    return serving.client_bytes(stored.event, unsigned, room_id=False)


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


def _membership(txn: Transaction, user: UserID, stored: Stored, known: dict[bytes, str]) -> str | None:
    """The viewer's membership at the event, their own change included; None where the state there is not known."""
    if stored.event.key == ("m.room.member", user):
        return stored.event.membership
    if stored.state_before is None:
        return None
    if stored.state_before not in known:
        event = state.view(txn, stored.state_before, [("m.room.member", user)]).get(("m.room.member", user))
        known[stored.state_before] = (event.membership if event is not None else None) or "leave"
    return known[stored.state_before]
