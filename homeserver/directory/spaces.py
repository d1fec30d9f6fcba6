"""What of rooms somebody may see without being in them: summaries, and the trees of spaces, over other servers where needed.

Who may neither join nor peek sees nothing: a room that is hidden and one that does not exist are left out alike.
spec: client-server-api#discovering-rooms-within-spaces
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.clock import Clock
from homeserver.directory import summaries
from homeserver.directory.summaries import Summary
from homeserver.errors import Forbidden
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.federation.failures import PeerError
from homeserver.federation.peers import Peers
from homeserver.rooms import acl, openness, visibility
from homeserver.rooms.visibility import NoSuchRoom
from homeserver.storage import directory, members, rooms, state
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.transactions import Transaction

SPACE, CHILD = "m.space", "m.space.child"
MAX_LIMIT = 50
MAX_DEPTH = 20
MOST_WALKED = 2000  # rooms of a tree that are looked at for one page
MOST_ASKED = 30  # requests to other servers for one page
MOST_SERVERS = 3  # of those that a child names
MOST_CHILDREN = 500
MAX_ORDER = 50
KEPT_MS = 5 * 60 * 1000
MOST_KEPT, MOST_KEPT_BYTES = 200, 100_000

Viewer = UserID | ServerName
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Local:
    """A room of this server as a viewer may see it, or `entry` None; `known` says that this server is in it."""

    known: bool
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Walk:
    """Who looks at which tree, and how much of it."""

    user: UserID
    suggested_only: bool
    max_depth: int
    skip: int
    limit: int


@dataclass(frozen=True, slots=True)
class Step:
    """A room that is to be looked at: where to ask for it, how far down it is, and what its parent's server said of it."""

    room_id: str
    servers: Sequence[str]
    depth: int
    hint: Entry | None


@dataclass
class Told:
    """What other servers told lately.  Nothing depends on it but how often they are asked."""

    clock: Clock
    _kept: dict[tuple[str, str, bool], tuple[int, Entry, list[Entry]]] = field(default_factory=dict)

    def get(self, server: str, room_id: str, suggested_only: bool) -> tuple[Entry, list[Entry]] | None:
        """A room and its children, if that server told of them a short while ago."""
        found = self._kept.get((server, room_id, suggested_only))
        return None if found is None or found[0] < self.clock.now() else found[1:]

    def put(self, server: str, room_id: str, suggested_only: bool, room: Entry, children: list[Entry]) -> None:
        """Keep it for a while."""
        if len(orjson.dumps([room, children])) > MOST_KEPT_BYTES:
            return
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[server, room_id, suggested_only] = self.clock.now() + KEPT_MS, room, children


@dataclass(frozen=True)
class Spaces:
    """Trees of rooms, and single rooms."""

    database: Database
    peers: Peers
    told: Told
    name: ServerName

    async def page(self, root: RoomID, via: Sequence[ServerName], walk: Walk) -> tuple[list[Entry], bool]:
        """The rooms of the tree from `walk.skip` on, parents before their children; and whether there are more.

        Raises `Forbidden` where the root cannot be seen.
        """
        found: list[Entry] = []
        seen: set[str] = set()
        ahead = [Step(root, via, 0, None)]
        budget = MOST_ASKED
        while ahead and len(found) <= walk.skip + walk.limit and len(seen) < MOST_WALKED:
            step = ahead.pop()
            if step.room_id in seen:
                continue
            seen.add(step.room_id)
            entry, hints, asked = await self._entry(step, walk, budget)
            budget -= asked
            if entry is None and step.depth == 0:
                raise Forbidden("You may not see this room, or there is none")
            if entry is None:
                continue
            found.append(entry)
            if step.depth < walk.max_depth:
                children = reversed(children_of(entry))
                ahead += [Step(child, named, step.depth + 1, hints.get(child)) for child, named in children]
        return found[walk.skip : walk.skip + walk.limit], len(found) > walk.skip + walk.limit

    async def _entry(self, step: Step, walk: Walk, budget: int) -> tuple[Entry | None, dict[str, Entry], bool]:
        """The room of a step, what was said of its children, and whether another server was asked."""
        local = await self.database.read(look, step.room_id, walk.user, walk.suggested_only)
        # The root is looked for elsewhere even where it is here and hidden, as one is that nobody here knows.
        if local.entry is not None or (local.known and step.depth > 0):
            return local.entry, {}, False
        entry: Entry | None = None
        hints: dict[str, Entry] = {}
        leaf = step.hint is not None and step.hint.get("room_type") != SPACE
        if leaf:
            entry = {**(step.hint or {}), "children_state": []}
        elif budget > 0:
            entry, hints = await self._ask(step.room_id, step.servers, walk.suggested_only)
        if entry is not None and not await self.database.read(admits, entry, walk.user):
            entry = None
        return entry, hints, not leaf

    async def summary(self, room_id: RoomID, via: Sequence[ServerName], viewer: UserID) -> Entry:
        """One room in a few words; other servers are asked for a user only.  Raises `NoSuchRoom`."""
        local = await self.database.read(look, room_id, viewer, False)
        entry = local.entry
        if entry is None and viewer:
            entry, _ = await self._ask(room_id, via, False)
            if entry is not None and not await self.database.read(admits, entry, viewer):
                entry = None
        if entry is None:
            raise NoSuchRoom()
        shown = {key: value for key, value in entry.items() if key != "children_state"}
        member = await self.database.read(members.get, room_id, viewer) if viewer else None
        return {**shown, "membership": member.membership} if member is not None else shown

    async def for_server(self, origin: ServerName, room_id: RoomID, suggested_only: bool) -> tuple[Entry, list[Entry]]:
        """A room of ours and its children, as another server may see them; raises `NoSuchRoom`."""
        return await self.database.read(_for_server, origin, room_id, suggested_only)

    async def _ask(self, room_id: str, servers: Sequence[str], suggested_only: bool) -> tuple[Entry | None, dict[str, Entry]]:
        """What the first of the servers that knows it says of a room and, by id, of its children."""
        for name in [one for one in dict.fromkeys(servers) if one != self.name][:MOST_SERVERS]:
            try:
                told = self.told.get(name, room_id, suggested_only) or await self._answer(ServerName.parse(name), room_id, suggested_only)
            except (PeerError, Malformed):
                continue
            if told is not None:
                return told[0], {child["room_id"]: child for child in told[1]}
        return None, {}

    async def _answer(self, server: ServerName, room_id: str, suggested_only: bool) -> tuple[Entry, list[Entry]] | None:
        answer = await self.peers.hierarchy(server, room_id, suggested_only=suggested_only)
        room = summaries.believed(answer.room)
        if room is None or room["room_id"] != room_id:
            return None
        listed = answer.room.get("children_state")
        events = [event for event in listed[:MOST_CHILDREN] if _is_child(event)] if isinstance(listed, list) else []
        room["children_state"] = events
        children = [child for one in answer.children[:MOST_CHILDREN] if (child := summaries.believed(one)) is not None]
        self.told.put(server, room_id, suggested_only, room, children)
        return room, children


def look(txn: Transaction, room_id: str, viewer: Viewer, suggested_only: bool) -> Local:
    """A room of this server, with its children if it is a space."""
    room = rooms.get(txn, room_id) if visibility.may_know(txn, room_id, viewer) else None
    if room is None or room.departed:
        return Local(False, None)
    about = summaries.of(txn, [room])[room_id]
    if not accessible(txn, about, viewer):
        return Local(True, None)
    return Local(True, {**about.shown(room.joined_members), "children_state": _children(txn, about, suggested_only)})


def accessible(txn: Transaction, about: Summary, viewer: Viewer) -> bool:
    """Whether the viewer is in the room, may join it, knock or peek."""
    if about.world_readable or about.join_rule in openness.OPEN_JOIN_RULES or directory.is_published(txn, about.room_id):
        return True
    if isinstance(viewer, UserID):
        member = members.get(txn, about.room_id, viewer)
        if member is not None and member.membership in ("join", "invite"):
            return True
    elif members.server_takes_part(txn, about.room_id, viewer):
        return True
    return any(
        members.is_joined(txn, allowed, viewer) if isinstance(viewer, UserID) else rooms.shares(txn, allowed, viewer)
        for allowed in about.allowed
    )


def admits(txn: Transaction, entry: Entry, user: UserID) -> bool:
    """Whether a user may see a room of which another server told us: it does not know our users."""
    rule = entry.get("join_rule", "public")  # spec: servers leave it out where it is public
    if entry["world_readable"] or rule in openness.OPEN_JOIN_RULES:
        return True
    member = members.get(txn, entry["room_id"], user)
    if member is not None and member.membership in ("join", "invite"):
        return True
    allowed = entry.get("allowed_room_ids", [])[:MOST_CHILDREN]
    return any(members.is_joined(txn, room_id, user) for room_id in allowed if "\0" not in room_id)


def _children(txn: Transaction, about: Summary, suggested_only: bool) -> list[Entry]:
    """The links of a space to its children, in their order."""
    if about.room_type != SPACE:
        return []
    found = state.current_of_types(txn, about.room_id, [CHILD]).values()
    return in_order(_link(stored) for stored in found if not suggested_only or stored.event.content.get("suggested") is True)


def _link(stored: Stored) -> Entry:
    event = stored.event
    return {
        "type": event.type,
        "state_key": event.state_key,
        "content": event.content,
        "sender": event.sender,
        "origin_server_ts": event.origin_server_ts,
    }


def in_order(links: Iterable[Entry]) -> list[Entry]:
    """The links that lead somewhere, in the order in which the space shows them.

    spec: client-server-api#ordering-of-children-within-a-space
    """

    def key(link: Entry) -> tuple[bool, str, int, str]:
        order = link["content"].get("order")
        valid = isinstance(order, str) and len(order) <= MAX_ORDER and all(" " <= character <= "~" for character in order)
        return not valid, order if valid else "", link["origin_server_ts"], link["state_key"]

    return sorted((link for link in links if _is_child(link)), key=key)[:MOST_CHILDREN]


def _is_child(link: object) -> bool:
    """Whether this is a link in force: one that names servers."""
    if not isinstance(link, dict) or link.get("type") != CHILD or not isinstance(link.get("content"), dict):
        return False
    via, target = link["content"].get("via"), link.get("state_key")
    sound = isinstance(target, str) and target.startswith("!") and "\0" not in target and type(link.get("origin_server_ts")) is int
    return sound and isinstance(link.get("sender"), str) and isinstance(via, list) and any(isinstance(one, str) for one in via)


def children_of(entry: Entry) -> list[tuple[str, list[str]]]:
    """(room, servers to ask) of the children of a space."""
    if entry.get("room_type") != SPACE:
        return []
    return [(link["state_key"], [one for one in link["content"]["via"] if isinstance(one, str)]) for link in entry["children_state"]]


def _for_server(txn: Transaction, origin: ServerName, room_id: RoomID, suggested_only: bool) -> tuple[Entry, list[Entry]]:
    found = look(txn, room_id, origin, suggested_only).entry
    room = rooms.get(txn, room_id) if found is not None else None
    if found is None or room is None:
        raise NoSuchRoom()
    acl.require(txn, room, origin)
    wanted = [child for child, _ in children_of(found)]
    here = {child: one for child, one in rooms.several(txn, wanted).items() if not one.departed}
    about = summaries.of(txn, here.values())
    seen = [child for child in wanted if child in about and accessible(txn, about[child], origin)]
    return found, [about[child].shown(here[child].joined_members) for child in seen]
