"""What other events say about an event, bundled with it: its edit, its thread, its references.

spec: client-server-api#aggregations-of-child-events
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from homeserver.rooms import presenting, visibility
from homeserver.rooms.presenting import Viewer
from homeserver.storage import lines, relations
from homeserver.storage.lines import Line
from homeserver.storage.relations import Relation
from homeserver.storage.transactions import Transaction

KINDS = ("m.replace", "m.thread", "m.reference")
MOST_REFERENCES = 100


def bundles(txn: Transaction, viewer: Viewer, batch: Sequence[Line], ignored: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Event id -> `m.relations`, for those of the events (of one room) that others relate to."""
    targets = {line.event_id: line for line in batch if line.redacted_by is None}
    if not targets:
        return {}
    room_id = batch[0].room_id
    found = [one for one in relations.of_targets(txn, room_id, targets, KINDS) if one.sender not in ignored]
    if found:
        found = _known_to(txn, viewer, room_id, found)
    if not found:
        return {}
    by_target: dict[str, list[Relation]] = {}
    for one in found:
        by_target.setdefault(one.target_id, []).append(one)
    edits = {target: edit for target, some in by_target.items() if (edit := _edit(targets[target], some)) is not None}
    latest = {one.target_id: one for one in found if one.rel_type == "m.thread"}
    loaded = lines.by_number(txn, [one.num for one in (*edits.values(), *latest.values())])
    seen = {line.num for line in visibility.shown_to_user(txn, viewer.user_id, list(loaded.values()))}
    edits = {target: edit for target, edit in edits.items() if edit.num in seen}
    latest = {target: answer for target, answer in latest.items() if answer.num in seen}
    bundled: dict[str, dict[str, Any]] = {}
    for target, some in by_target.items():
        bundle: dict[str, Any] = {}
        if target in edits:
            bundle["m.replace"] = orjson.Fragment(_shown(txn, viewer, loaded[edits[target].num], {}))
        if target in latest:
            bundle["m.thread"] = _thread(txn, viewer, targets[target], some, loaded[latest[target].num])
        references = [{"event_id": one.event_id} for one in some if one.rel_type == "m.reference"][:MOST_REFERENCES]
        if references:
            bundle["m.reference"] = {"chunk": references}
        if bundle:
            bundled[target] = bundle
    return bundled


def _known_to(txn: Transaction, viewer: Viewer, room_id: str, found: list[Relation]) -> list[Relation]:
    """Those that came before the viewer left the room, if they did."""
    left = visibility.standing(txn, room_id, viewer.user_id).left_at
    return found if left is None else [one for one in found if one.order <= left]


def _edit(target: Line, some: Iterable[Relation]) -> Relation | None:
    """The newest valid edit.  spec: client-server-api#validity-of-replacement-events"""
    if target.state_key is not None:
        return None
    edits = [one for one in some if one.rel_type == "m.replace" and one.sender == target.sender and one.event_type == target.type]
    return max(edits, key=lambda one: (one.ts, one.event_id), default=None)


def _thread(txn: Transaction, viewer: Viewer, root: Line, some: Iterable[Relation], latest: Line) -> dict[str, Any]:
    replies = [one for one in some if one.rel_type == "m.thread"]
    # The newest answer may have been edited itself.
    room_id, last_id = latest.room_id, latest.event_id
    edit = _edit(latest, relations.of_targets(txn, room_id, [last_id], ["m.replace"]))
    inner: dict[str, dict[str, Any]] = {}
    edited = list(lines.by_number(txn, [edit.num]).values()) if edit is not None else []
    for line in visibility.shown_to_user(txn, viewer.user_id, edited):
        inner[last_id] = {"m.replace": orjson.Fragment(_shown(txn, viewer, line, {}))}
    return {
        "latest_event": orjson.Fragment(_shown(txn, viewer, latest, inner)),
        "count": len(replies),
        "current_user_participated": root.sender == viewer.user_id or any(one.sender == viewer.user_id for one in replies),
    }


def _shown(txn: Transaction, viewer: Viewer, line: Line, inner: dict[str, dict[str, Any]]) -> bytes:
    return presenting.present(txn, viewer, [line], relations=inner)[0]
