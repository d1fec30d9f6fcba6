"""Who may know that a room exists, and who may see which of its events.  The one home of both rules.

A hidden room and a room that never was look alike: the same exception, the same look-ups in the same order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from homeserver.errors import NotFound
from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName, UserID
from homeserver.events.versions import RoomVersion
from homeserver.rooms.openness import HISTORY
from homeserver.storage import events, members, openness, rooms, state
from homeserver.storage.events import Order, Stored
from homeserver.storage.lines import Line
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Remembering, Transaction

Seen = TypeVar("Seen", Line, Stored)


class NoSuchRoom(NotFound):
    """The room does not exist, or the one who asks may not know that it does."""

    SENTENCE = "No such room"


def find(txn: Transaction, room_id: str, viewer: UserID | ServerName) -> Room:
    """The room, if `viewer` may know of it; raises `NoSuchRoom`.  Of a hidden room nothing is read, as of one that never was."""
    if isinstance(viewer, UserID):
        room = rooms.if_known(txn, room_id, viewer)
    else:
        room = rooms.if_known_to(txn, room_id, viewer)
    if room is None:
        raise NoSuchRoom()
    return room


def may_know(txn: Transaction, room_id: str, viewer: UserID | ServerName) -> bool:
    """Whether `viewer` may know of the room, if there is one: one look-up, by indexes only.

    A room is known to whom has or had a membership in it (forgetting changes nothing), and to everybody if it is
    world-readable, published, or open to joins or knocks; also to members of a room that its join rule allows.
    """
    look_up = openness.known_to_user if isinstance(viewer, UserID) else openness.known_to_server
    return look_up(txn, room_id, viewer)


def version(txn: Transaction, room_id: str, viewer: UserID | ServerName) -> RoomVersion | None:
    """The version of a room that the viewer may know of; that they may is remembered, as the version is."""
    if not may_know(txn, room_id, viewer):
        return None
    remember(txn, room_id, viewer)
    return rooms.version(txn, room_id)


def remember(txn: Transaction, room_id: str, viewer: UserID | ServerName) -> None:
    """Who may know of a room once has heard of it."""
    txn.memory.put(("heard", room_id, viewer), True, 250)


def remembered_version(memory: Remembering, room_id: str, viewer: UserID | ServerName) -> RoomVersion | None:
    """What `version` answered, where it is in memory."""
    return rooms.remembered_version(memory, room_id) if memory.get(("heard", room_id, viewer)) else None


def event_for(txn: Transaction, room_id: str, event_id: str, user: UserID) -> Stored | None:
    """An event, if the user may see it; nothing is looked for in a room that they may not know of."""
    found = events.get(txn, room_id, event_id) if may_know(txn, room_id, user) else None
    return found if found is not None and shown_to_user(txn, user, [found]) else None


def world_readable(txn: Transaction, room: Room) -> bool:
    """Whether everybody may read the room as it is now."""
    return _history(state.view(txn, room.state_root, [HISTORY]).get(HISTORY)) == "world_readable"


def _history(event: Event | None) -> str:
    """The history visibility that an event sets; what is unknown is `shared`."""
    setting = event.content.get("history_visibility") if event is not None else None
    return setting if setting in ("world_readable", "shared", "invited", "joined") else "shared"


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides which events a user sees: joined now, and where in the room's order they last left, if they did."""

    joined: bool
    left_at: Order | None


def standing(txn: Transaction, room_id: str, user: UserID) -> Standing:
    """How a user stands to a room now."""
    member = members.get(txn, room_id, user)
    if member is None:
        return Standing(False, None)
    if member.membership == "join":
        return Standing(True, None)
    last = last_left(txn, room_id, user)
    return Standing(False, last.order if last is not None else None)


def last_left(txn: Transaction, room_id: str, user: UserID) -> Stored | None:
    """The event with which a user who was joined last ceased to be: no invite, knock or ban that came later."""
    num = txn.value(
        "SELECT num FROM membership_changes WHERE user_id = :user AND room_id = :room AND previous = 'join' AND membership <> 'join'"
        " ORDER BY position DESC LIMIT 1",
        user=user, room=room_id,
    )  # fmt: skip
    return None if num is None else events.by_number(txn, [num]).get(num)


def shown_to_user(txn: Transaction, user: UserID, batch: Sequence[Seen]) -> list[Seen]:
    """Those of the events, all of one room, that a user may see.  spec: client-server-api#server-behaviour-5

    Each is judged by the state at itself; where that is not known (history that was fetched), by the state at the
    next later event whose state is.
    """
    return Look(txn, user).shown(batch, standing(txn, batch[0].room_id, user)) if batch else []


def shown_to_member(txn: Transaction, user: UserID, batch: Sequence[Seen]) -> list[Seen]:
    """The same for a user who is known to be joined to the room now."""
    return Look(txn, user).shown(batch, Standing(True, None))


class Look:
    """One user's look at events: what was so at their states, each found out once.

    An event that sets neither the history visibility nor the user's membership leaves both as they were, so that of a
    stretch of the room without such an event one state is read.
    """

    def __init__(self, txn: Transaction, user: UserID) -> None:
        self._txn, self._user = txn, user
        self._known: dict[bytes, tuple[str, str | None]] = {}

    def shown(self, batch: Iterable[Seen], stands: Standing) -> list[Seen]:
        """Those of the events that the user may see."""
        visible = []
        for seen in batch:
            if not seen.shown:
                continue
            view = self._known.get(seen.state_before or b"")
            # Mostly a message to a room that they were in, with nothing to find out.
            if (view is not None and view[1] == "join" and seen.state_key is None) or self._sees(seen, stands):
                visible.append(seen)
        return visible

    @property
    def memberships(self) -> dict[bytes, str]:
        """The user's membership at each state that was looked at."""
        return {root: membership or "leave" for root, (_, membership) in self._known.items()}

    def at(self, root: bytes) -> tuple[str, str | None]:
        """The history visibility and the user's membership in a state."""
        known = self._known.get(root)
        if known is None:
            view = state.view(self._txn, root, [HISTORY, ("m.room.member", self._user)])
            member = view.get(("m.room.member", self._user))
            known = self._known[root] = _history(view.get(HISTORY)), member.membership if member is not None else None
        return known

    def follow(self, seen: Line | Stored) -> None:
        """What is known on one side of the event is known on the other, unless it changes just that."""
        before, after, known = seen.state_before, seen.state_after, self._known
        if before is None or after is None or before == after or self._sets(seen):
            return
        if before in known:
            known[after] = known[before]
        elif after in known:
            known[before] = known[after]

    def _sets(self, seen: Line | Stored) -> bool:
        kind = seen.type
        return (kind == "m.room.member" and seen.state_key == self._user) or (kind == "m.room.history_visibility" and seen.state_key == "")

    def _sees(self, seen: Line | Stored, stands: Standing) -> bool:
        self.follow(seen)
        before = seen.state_before or known_state(self._txn, seen)
        if before is not None:
            view = self.at(before)
            self.follow(seen)
            if _allows(seen, view, stands):
                return True
        return self._sets(seen) and seen.state_after is not None and _allows(seen, self.at(seen.state_after), stands)


def state_at(txn: Transaction, room_id: str, order: Order) -> bytes | None:
    """The root of the state after the last shown event that is not later than `order`."""
    root = txn.value(
        "SELECT state_after FROM events WHERE room_id = :room AND (major, minor) <= (:major, :minor) AND state_after IS NOT NULL"
        " AND status IN (1, 2) ORDER BY major DESC, minor DESC LIMIT 1",
        room=room_id, major=order[0], minor=order[1],
    )  # fmt: skip
    return None if root is None else bytes(root)


def known_state(txn: Transaction, seen: Line | Stored) -> bytes | None:
    """The root of the state before the first later event whose state is known: the best there is for fetched history."""
    if seen.order is None:
        return None
    root = txn.value(
        "SELECT state_before FROM events WHERE room_id = :room AND (major, minor) > (:major, :minor) AND state_before IS NOT NULL"
        " AND status IN (1, 2) ORDER BY major, minor LIMIT 1",
        room=seen.room_id, major=seen.order[0], minor=seen.order[1],
    )  # fmt: skip
    return None if root is None else bytes(root)


def _allows(seen: Line | Stored, view: tuple[str, str | None], stands: Standing) -> bool:
    rule, membership = view
    if rule == "world_readable" or membership == "join":
        return True
    if rule == "shared":
        left = stands.left_at
        return stands.joined or (left is not None and seen.order is not None and seen.order <= left)
    return rule == "invited" and membership == "invite" and (stands.joined or stands.left_at is not None)


def shown_to_server(txn: Transaction, server: ServerName, batch: Sequence[Stored]) -> dict[str, bool]:
    """Event id -> whether a server may see the content of the event; what it may not see it gets redacted.

    A server sees what one of its users could see.  spec: server-server-api#authorization-rules
    """
    judged: dict[bytes, bool] = {}
    verdicts: dict[str, bool] = {}
    for stored in batch:
        root = stored.state_before or known_state(txn, stored)
        if stored.event.sender.domain == server or root is None:
            verdicts[stored.event.event_id] = stored.event.sender.domain == server
            continue
        if root not in judged:
            judged[root] = _server_allowed(txn, stored.event.room_id, root, server)
        verdicts[stored.event.event_id] = judged[root]
    return verdicts


def _server_allowed(txn: Transaction, room_id: str, root: bytes, server: ServerName) -> bool:
    rule = _history(state.view(txn, root, [HISTORY]).get(HISTORY))
    if rule in ("world_readable", "shared"):
        return True
    rows = txn.all("SELECT user_id FROM members WHERE room_id = :room AND server = :server", room=room_id, server=server)
    ours = [user for (user,) in rows]
    view = state.view(txn, root, [("m.room.member", user) for user in ours])
    wanted = {"join", "invite"} if rule == "invited" else {"join"}
    return any(event.membership in wanted for event in view.values())
