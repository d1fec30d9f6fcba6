"""A server's rooms for tests of counts: the real write path on a database in memory, and users who say things."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as FakeReactor

from homeserver.clock import Clock
from homeserver.events import versions
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.identity import Identity, generate_key
from homeserver.push import counting, rules
from homeserver.push.counting import Count, RoomCounts
from homeserver.push.editing import keywords
from homeserver.push.rules import Ruleset
from homeserver.push.unread import Unread
from homeserver.rooms import creation
from homeserver.rooms.activity import Stamps
from homeserver.rooms.entering import Entrance, Observers
from homeserver.rooms.timeline import Timeline
from homeserver.storage import notable, push_rules, receipts
from homeserver.storage.database import Database
from tests.databases import fresh

NAME = ServerName("a")
KEY = generate_key()


def now(deferred: Any) -> Any:
    """The result of what has happened already."""
    results: list[Any] = []
    (deferred if isinstance(deferred, Deferred) else Deferred.fromCoroutine(deferred)).addBoth(results.append)
    assert results, "it is still waiting"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


def user(name: str) -> UserID:
    """A user of the server."""
    return UserID(f"@{name}:a")


@dataclass
class House:
    """The server, one room, and who is in it."""

    engine: str = "sqlite"
    reactor: FakeReactor = field(default_factory=FakeReactor)
    database: Database = field(init=False)
    room: RoomID = field(init=False)

    def __post_init__(self) -> None:
        self.database = fresh(self.engine, self.reactor)
        clock, identity = Clock(self.reactor, 1_700_000_000_000), Identity(NAME, KEY)
        self.clock = clock
        self.timeline = Timeline(self.database, identity, clock, Entrance(NAME, Observers((Unread(NAME).observe,)), Stamps(clock)))
        self.room = self.makes_room("alice")

    def makes_room(self, name: str) -> RoomID:
        """A public room."""
        wish = creation.Wish(user(name), versions.get("11"), "public_chat")
        drafts = creation.first_events(wish)
        return now(self.timeline.create(wish.version, drafts, RoomID(f"!r{self.database.counts.acts}:a")))

    def joins(self, name: str, display_name: str | None = None, room: RoomID | None = None) -> UserID:
        """Somebody joins."""
        content = {"membership": "join", **({"displayname": display_name} if display_name else {})}
        self.sends(name, "m.room.member", content, state_key=user(name), room=room)
        return user(name)

    def leaves(self, name: str) -> None:
        """Somebody leaves."""
        self.sends(name, "m.room.member", {"membership": "leave"}, state_key=user(name))

    def sends(self, name: str, kind: str, content: dict[str, Any], state_key: str | None = None, room: RoomID | None = None) -> EventID:
        """Any event."""
        return now(self.timeline.send(room or self.room, Draft(kind, user(name), content, state_key)))

    def says(self, name: str, text: str = "hello", *, mentions: Any = None, thread: str | None = None, **more: Any) -> EventID:
        """A message."""
        content: dict[str, Any] = {"msgtype": "m.text", "body": text, **more}
        if mentions is not None:
            content["m.mentions"] = mentions
        if thread is not None:
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": thread}
        return self.sends(name, "m.room.message", content)

    def reads(self, name: str, event_id: str, thread: str = "") -> None:
        """What a receipt does to the counts."""

        def move(txn: Any) -> None:
            place = receipts.place(txn, self.room, event_id)
            assert place is not None
            notable.move(txn, user(name), self.room, thread, place)

        now(self.database.write(move))

    def rules(self, name: str, ruleset: Ruleset) -> None:
        """Somebody sets their rules."""
        now(self.database.write(push_rules.put, user(name), ruleset.dump(), keywords(ruleset)))

    def counts(self, name: str, ignored: frozenset[str] = counting.NOBODY) -> tuple[Count, Mapping[str, Count]]:
        """What somebody has not read: on the main timeline, and by thread."""
        found = self.unread(name, ignored)
        return found.main, found.threads

    def unread(self, name: str, ignored: frozenset[str] = counting.NOBODY) -> RoomCounts:
        """The same, and what one more message adds."""
        return now(self.database.read(counting.counts, user(name), [self.room], ignored))[self.room]

    def total(self, name: str) -> Count:
        """The same, all threads together."""
        return self.unread(name).total

    def close(self) -> None:
        """Done."""
        self.database.close()


__all__ = ["Count", "House", "now", "rules", "user"]
