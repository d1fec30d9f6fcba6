"""Reading the state of rooms and their members.  spec: client-server-api#getting-events-for-a-room"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import orjson

from homeserver.clock import Clock
from homeserver.errors import Forbidden, NotFound
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.relations import bundling
from homeserver.rooms import places, presenting, reading, visibility
from homeserver.rooms.presenting import Viewer
from homeserver.storage import members
from homeserver.storage.database import Database
from homeserver.storage.lines import Line
from homeserver.storage.transactions import Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import get


class Format(msgspec.Struct):
    """`format=event` asks for the whole event."""

    format: Literal["content", "event"] = "content"


class Members(msgspec.Struct):
    """Which members, and as of when."""

    at: str | None = None
    membership: str | None = None
    not_membership: str | None = None


@dataclass(frozen=True)
class RoomState:
    """State, members and single events."""

    database: Database
    clock: Clock

    @get("/_matrix/client/v3/rooms/{room_id}/state", guests=True)
    async def state(self, caller: Caller, room_id: RoomID) -> bytes:
        """The whole state as events."""
        return await self.database.read(self._state, room_id, caller.user_id)

    def _state(self, txn: Transaction, room_id: RoomID, user: UserID) -> bytes:
        view = reading.window(txn, room_id, user)
        return _remembered(txn, view, ("state",), lambda: _array(presenting.shared(txn, reading.everything(txn, view))))

    @get(
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key}",
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
        guests=True,
    )
    async def state_event(self, caller: Caller, room_id: RoomID, event_type: str, query: Format, state_key: str = "") -> bytes:
        """One piece of the state: its content, or the event."""
        return await self.database.read(self._state_event, room_id, (event_type, state_key), query.format, self._viewer(caller))

    def _state_event(self, txn: Transaction, room_id: RoomID, key: tuple[str, str], form: str, viewer: Viewer) -> bytes:
        stored = reading.event_at(txn, reading.window(txn, room_id, viewer.user_id), key)
        if form == "event":
            return presenting.present(txn, viewer, [stored.line])[0]
        return orjson.dumps(stored.event.content)

    @get("/_matrix/client/v3/rooms/{room_id}/members")
    async def members(self, caller: Caller, room_id: RoomID, query: Members) -> bytes:
        """The member events of the room, now or at a point of the stream."""
        return await self.database.read(self._members, room_id, query, caller.user_id)

    def _members(self, txn: Transaction, room_id: RoomID, query: Members, user: UserID) -> bytes:
        view = reading.window(txn, room_id, user)
        if query.at is not None:
            moment = places.moment(txn, room_id, query.at)
            left = visibility.standing(txn, room_id, user).left_at if view.root is not None else None
            root = visibility.state_at(txn, room_id, moment if left is None else min(moment, left))
            view = replace(view, root=root or view.root)

        def chunk() -> bytes:
            wanted = [line for line in reading.memberships(txn, view) if _asked_for(line, query)]
            return b'{"chunk":' + _array(presenting.shared(txn, wanted)) + b"}"

        return _remembered(txn, view, ("members", query.membership, query.not_membership), chunk)

    @get("/_matrix/client/v3/rooms/{room_id}/joined_members")
    async def joined_members(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Who is joined, with name and picture; for joined users only."""
        found = await self.database.read(self._joined_members, room_id, caller.user_id)
        return {"joined": found}

    def _joined_members(self, txn: Transaction, room_id: RoomID, user: UserID) -> dict[str, dict[str, str | None]]:
        if not members.is_joined(txn, room_id, user):
            raise Forbidden(f"{user} is not in this room")
        return {
            member.user_id: {"display_name": member.display_name, "avatar_url": member.avatar_url}
            for member in members.of_room(txn, room_id, ["join"])
        }

    @get("/_matrix/client/v3/joined_rooms")
    async def joined_rooms(self, caller: Caller) -> dict[str, list[RoomID]]:
        """The rooms that the caller is in."""
        return {"joined_rooms": await self.database.read(members.joined_rooms, caller.user_id)}

    @get("/_matrix/client/v3/rooms/{room_id}/event/{event_id}")
    async def event(self, caller: Caller, room_id: RoomID, event_id: EventID) -> bytes:
        """One event, if the caller may see it; else it does not exist."""
        return await self.database.read(self._event, room_id, event_id, self._viewer(caller))

    def _event(self, txn: Transaction, room_id: RoomID, event_id: EventID, viewer: Viewer) -> bytes:
        found = visibility.event_for(txn, room_id, event_id, viewer.user_id)
        if found is None:
            raise NotFound("No such event")
        about = bundling.bundles(txn, viewer, [found.line], frozenset())
        return presenting.present(txn, viewer, [found.line], relations=about)[0]

    def _viewer(self, caller: Caller) -> Viewer:
        return Viewer(caller.user_id, caller.device_id, self.clock.now())


def _remembered(txn: Transaction, view: reading.Window, what: tuple[str | None, ...], make: Callable[[], bytes]) -> bytes:
    """What is made of a state, made once: a state never changes, but for redactions, which the room counts."""
    room = view.room
    assert room is not None
    key = (what, room.room_id, view.root or room.state_root, room.removals)
    found: bytes | None = txn.memory.get(key)
    if found is None:
        found = make()
        txn.memory.put(key, found, len(found))
    return found


def _asked_for(line: Line, query: Members) -> bool:
    if query.membership is None and query.not_membership is None:
        return True
    membership = line.membership
    return query.membership in (None, membership) and (query.not_membership is None or query.not_membership != membership)


def _array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
