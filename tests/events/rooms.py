"""A room in memory for tests of the core: real events, real rules, no signatures, no storage."""

from collections.abc import Mapping
from typing import Any

from homeserver.events import drafts, event, resolution, rules, versions
from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID, RoomID, UserID

ALICE, BOB, CAROL, DAVE = (UserID(f"@{name}:one.example") for name in ("alice", "bob", "carol", "dave"))
EVE = UserID("@eve:two.example")
V12 = versions.get("12")
START = 1_700_000_000_000


def read(version: versions.RoomVersion, draft: drafts.Draft, room_id: RoomID | None, prev=(), auth=(), depth=1, now=START) -> Event:
    data = drafts.complete(version, draft, room_id, prev, auth, depth, now)
    return event.read(version, {**data, "signatures": {}})


class Room:
    """One server's view of a room.  `fork` is another server's, which shares the past."""

    def __init__(self, version: str = "12", creator: UserID = ALICE, **content: Any) -> None:
        self.version = versions.get(version)
        self.events: dict[EventID, Event] = {}
        self.state: dict[Key, Event] = {}
        self.heads: tuple[EventID, ...] = ()
        self.now = START
        self.depth = 0
        content = {"room_version": version, **content}
        if self.version.creator_in_content:
            content["creator"] = creator
        room_id = None if self.version.room_id_is_create_hash else RoomID(f"!room:{creator.domain}")
        draft = drafts.Draft("m.room.create", creator, content, "")
        self.create = self.take(read(self.version, draft, room_id, now=self.now))
        self.id = self.create.room_id
        self.creator = creator

    def settled(self, rule: str = "public", **levels: Any) -> "Room":
        """The same room after the creator joined and set power levels and a join rule."""
        self.join(self.creator)
        users = {} if self.version.privileged_creators else {self.creator: 100}
        self.levels(self.creator, **{"users": users, **levels})
        self.send(self.creator, "m.room.join_rules", {"join_rule": rule}, "")
        return self

    def fork(self) -> "Room":
        other = object.__new__(Room)
        other.__dict__.update(self.__dict__)
        other.state = dict(self.state)
        return other

    def draft(self, sender: UserID, kind: str, content: Mapping[str, Any], state_key: str | None = None, **more: Any) -> Event:
        """The event at the end of this view, unchecked."""
        keys = rules.auth_keys(self.version, kind, sender, state_key, content)
        auth = [self.state[key].event_id for key in sorted(keys) if key in self.state]
        draft = drafts.Draft(kind, sender, dict(content), state_key, **more)
        return read(self.version, draft, self.id, self.heads, auth, self.depth + 1, self.now)

    def take(self, new: Event) -> Event:
        self.events[new.event_id] = new
        self.heads, self.depth, self.now = (new.event_id,), new.depth, self.now + 1000
        if new.key:
            self.state[new.key] = new
        return new

    def pretend(self, kind: str, state_key: str, content: Any, sender: UserID | None = None) -> None:
        """Put this into the state, whether it may be or not."""
        some = self.state.get((kind, state_key), self.create)
        fake = EventID(f"$pretended{len(self.events)}:x")
        self.events[fake] = self.state[kind, state_key] = some.replace(
            type=kind, state_key=state_key, content=content, sender=sender or some.sender, event_id=fake
        )

    def check(self, new: Event) -> None:
        rules.check_auth_events(new, [self.events[event_id] for event_id in new.auth_events])
        rules.check(new, self.state)

    def send(self, sender: UserID, kind: str, content: Mapping[str, Any], state_key: str | None = None, **more: Any) -> Event:
        new = self.draft(sender, kind, content, state_key, **more)
        self.check(new)
        return self.take(new)

    def member(self, sender: UserID, target: str, membership: str, **content: Any) -> Event:
        return self.send(sender, "m.room.member", {"membership": membership, **content}, target)

    def join(self, user: UserID, **content: Any) -> Event:
        return self.member(user, user, "join", **content)

    def knock(self, user: UserID) -> Event:
        return self.member(user, user, "knock")

    def invite(self, sender: UserID, target: str, **content: Any) -> Event:
        return self.member(sender, target, "invite", **content)

    def leave(self, user: UserID) -> Event:
        return self.member(user, user, "leave")

    def kick(self, sender: UserID, target: str) -> Event:
        return self.member(sender, target, "leave")

    def ban(self, sender: UserID, target: str) -> Event:
        return self.member(sender, target, "ban")

    def levels(self, sender: UserID, **content: Any) -> Event:
        return self.send(sender, "m.room.power_levels", content, "")

    def say(self, sender: UserID, body: str = "hello") -> Event:
        return self.send(sender, "m.room.message", {"msgtype": "m.text", "body": body})

    def name(self, sender: UserID, name: str) -> Event:
        return self.send(sender, "m.room.name", {"name": name}, "")

    @property
    def ids(self) -> dict[Key, EventID]:
        return {key: one.event_id for key, one in self.state.items()}

    def members(self, membership: str = "join") -> set[str]:
        return {key for (kind, key), one in self.state.items() if kind == "m.room.member" and one.membership == membership}


def resolve(*rooms: Room) -> dict[Key, Event]:
    """The state several views of one room agree on."""
    events = rooms[0].events
    ids = resolution.resolve(
        rooms[0].version,
        [room.ids for room in rooms],
        lambda wanted: {event_id: events[event_id] for event_id in wanted if event_id in events},
        lambda event_id: False,
    )
    return {key: events[event_id] for key, event_id in ids.items()}
