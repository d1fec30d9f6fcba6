"""Who may know that a room exists, and who may see which of its events.  The one home of both rules.

A hidden room and a room that never was look alike: the same exception, the same look-ups in the same order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.errors import NotFound
from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName, UserID
from homeserver.rooms.openness import HISTORY
from homeserver.storage import events, members, openness, rooms, state
from homeserver.storage.events import Order, Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


class NoSuchRoom(NotFound):
    """The room does not exist, or the one who asks may not know that it does."""

    SENTENCE = "No such room"


def find(txn: Transaction, room_id: str, viewer: UserID | ServerName) -> Room:
    """The room, if `viewer` may know of it; raises `NoSuchRoom`.  Of a hidden room nothing is read, as of one that never was."""
    room = rooms.get(txn, room_id) if may_know(txn, room_id, viewer) else None
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


def shown_to_user(txn: Transaction, user: UserID, batch: Sequence[Stored]) -> list[Stored]:
    """Those of the events, all of one room, that a user may see.  spec: client-server-api#server-behaviour-5

    Each is judged by the state at itself; where that is not known (history that was fetched), by the state at the
    next later event whose state is.
    """
    return _visible(txn, user, batch, standing(txn, batch[0].event.room_id, user)) if batch else []


def shown_to_member(txn: Transaction, user: UserID, batch: Sequence[Stored]) -> list[Stored]:
    """The same for a user who is known to be joined to the room now."""
    return _visible(txn, user, batch, Standing(True, None))


def _visible(txn: Transaction, user: UserID, batch: Sequence[Stored], stands: Standing) -> list[Stored]:
    judged: dict[bytes, tuple[str, str | None]] = {}
    visible = []
    for stored in batch:
        if not stored.shown:
            continue
        if any(_allows(stored, rule, membership, stands) for rule, membership in _views(txn, stored, user, judged)):
            visible.append(stored)
    return visible


def _views(
    txn: Transaction, stored: Stored, user: UserID, judged: dict[bytes, tuple[str, str | None]]
) -> Iterable[tuple[str, str | None]]:
    """(history visibility, the user's membership) before and, where the event changes one of them, after it."""
    before = stored.state_before or known_state(txn, stored)
    if before is not None:
        yield _judge(txn, before, user, judged)
    own = stored.event.key in (HISTORY, ("m.room.member", user))
    if own and stored.state_after is not None:
        yield _judge(txn, stored.state_after, user, judged)


def _judge(txn: Transaction, root: bytes, user: UserID, judged: dict[bytes, tuple[str, str | None]]) -> tuple[str, str | None]:
    if root not in judged:
        view = state.view(txn, root, [HISTORY, ("m.room.member", user)])
        member = view.get(("m.room.member", user))
        judged[root] = (_history(view.get(HISTORY)), member.membership if member is not None else None)
    return judged[root]


def state_at(txn: Transaction, room_id: str, order: Order) -> bytes | None:
    """The root of the state after the last shown event that is not later than `order`."""
    root = txn.value(
        "SELECT state_after FROM events WHERE room_id = :room AND (major, minor) <= (:major, :minor) AND state_after IS NOT NULL"
        " AND status IN (1, 2) ORDER BY major DESC, minor DESC LIMIT 1",
        room=room_id, major=order[0], minor=order[1],
    )  # fmt: skip
    return None if root is None else bytes(root)


def known_state(txn: Transaction, stored: Stored) -> bytes | None:
    """The root of the state before the first later event whose state is known: the best there is for fetched history."""
    if stored.order is None:
        return None
    root = txn.value(
        "SELECT state_before FROM events WHERE room_id = :room AND (major, minor) > (:major, :minor) AND state_before IS NOT NULL"
        " AND status IN (1, 2) ORDER BY major, minor LIMIT 1",
        room=stored.event.room_id, major=stored.order[0], minor=stored.order[1],
    )  # fmt: skip
    return None if root is None else bytes(root)


def _allows(stored: Stored, rule: str, membership: str | None, stands: Standing) -> bool:
    if rule == "world_readable" or membership == "join":
        return True
    if rule == "shared":
        left = stands.left_at
        return stands.joined or (left is not None and stored.order is not None and stored.order <= left)
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
