"""Many clients of one server: some talk, some follow, each over a connection of its own.  What was promised to them is checked.

Used by a test, which kills processes meanwhile, and by a benchmark.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.real.doors import Cut, Line, register

FILTER = '{"room":{"timeline":{"limit":1000}},"presence":{"types":[]}}'
WAIT = 2000  # milliseconds of a sync
AGAIN = 0.05
PATIENCE = 60.0
PUBLIC = {"preset": "public_chat"}


def persistent(line: Line, verb: str, path: str, body: Any = None, **query: Any) -> Any:
    """An answer, asked for again when the connection is cut: only for what may be asked twice."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return line.must(verb, path, body, **query)
        except Cut:
            assert time.monotonic() < until, f"nobody answers {verb} {path}"
            time.sleep(AGAIN)


@dataclass
class Follower:
    """A client that syncs, and what it was told: room -> event ids as they came."""

    line: Line
    rooms: list[str]
    since: str = ""
    told: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    syncs: int = 0

    def runs(self, done: Callable[["Follower"], bool], late: threading.Event) -> None:
        """Follow until all is there."""
        try:
            while not done(self) and not late.is_set():
                self.follow()
        except Exception as error:
            self.failures.append(repr(error))

    def follow(self, wait: int = WAIT) -> None:
        """One sync."""
        query = {"since": self.since} if self.since else {}
        answer = persistent(self.line, "GET", "/sync", timeout=wait, filter=FILTER, **query)
        self.since = answer["next_batch"]
        self.syncs += 1
        for room, section in answer.get("rooms", {}).get("join", {}).items():
            if section["timeline"].get("limited") and self.told:
                self.failures.append(f"a gap in {room}")
            said = [event["event_id"] for event in section["timeline"]["events"] if event["type"] == "m.room.message"]
            self.told.setdefault(room, []).extend(said)


@dataclass
class Talker:
    """A client that says things, each until it is acknowledged."""

    name: str
    line: Line
    rooms: list[str]
    said: dict[str, str] = field(default_factory=dict)
    """Event id -> room."""
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def room(self, number: int) -> str:
        """Where the so-manieth thing is said."""
        return self.rooms[number % len(self.rooms)]

    def runs(self, count: int, late: threading.Event) -> None:
        """Say so many things."""
        try:
            for number in range(len(self.said), len(self.said) + count):
                if late.is_set():
                    return
                room = self.room(number)
                began = time.monotonic()
                path = f"/rooms/{room}/send/m.room.message/{self.name}-{number}"
                content = {"msgtype": "m.text", "body": f"{self.name} {number}"}
                event_id = persistent(self.line, "PUT", path, content)["event_id"]
                self.times.append(time.monotonic() - began)
                assert event_id not in self.said
                self.said[event_id] = room
        except Exception as error:
            self.failures.append(repr(error))


@dataclass
class Crowd:
    """Talkers and followers of some rooms."""

    url: str
    rooms: list[str]
    talkers: list[Talker]
    followers: list[Follower]

    @classmethod
    def gather(cls, url: str, rooms: int, talkers: int, followers: int, each: int | None = None) -> "Crowd":
        """Everybody registers, joins `each` of the rooms, by default all, and connects."""
        first = Line(url)
        first.token = register(first, "owner")["access_token"]
        names = [first.must("POST", "/createRoom", PUBLIC)["room_id"] for _ in range(rooms)]
        crowd = cls(url, names, [], [])
        for number in range(talkers + followers):
            line, place = Line(url), number if number < talkers else (number - talkers) * (each or rooms)
            line.token = register(line, f"member{number}")["access_token"]
            mine = [names[(place + step) % rooms] for step in range(each or rooms)]
            for room in mine:
                line.must("POST", f"/join/{room}", {})
            if number < talkers:
                crowd.talkers.append(Talker(f"talker{number}", line, mine))
            else:
                crowd.followers.append(Follower(line, mine))
        for follower in crowd.followers:
            follower.follow(0)
            follower.follow(0)
            follower.told = {room: [] for room in follower.rooms}
        return crowd

    def runs(self, count: int, meanwhile: Callable[[], None] = lambda: None, patience: float = 120.0) -> float:
        """Each talker says `count` things; the seconds until every follower has been told all of it."""
        late = threading.Event()
        total = Counter(talker.room(number) for talker in self.talkers for number in range(len(talker.said) + count))

        def done(follower: Follower) -> bool:
            return all(len(told) >= total[room] for room, told in follower.told.items())

        began = time.monotonic()
        threads = [threading.Thread(target=one.runs, args=(count, late)) for one in self.talkers]
        threads += [threading.Thread(target=one.runs, args=(done, late)) for one in self.followers]
        for thread in threads:
            thread.start()
        meanwhile()
        for thread in threads:
            thread.join(max(0.1, began + patience - time.monotonic()))
        took = time.monotonic() - began
        late.set()
        for thread in threads:
            thread.join(PATIENCE)
        return took

    def check(self) -> None:
        """Everything that was acknowledged is in its room once; every follower was told it once, in the order of the room."""
        failures = [failure for one in (*self.talkers, *self.followers) for failure in one.failures]
        assert not failures, failures[:5]
        said = {event_id: room for talker in self.talkers for event_id, room in talker.said.items()}
        for room in self.rooms:
            history = self._history(room)
            assert len(set(history)) == len(history), f"twice in {room}"
            assert {event_id for event_id, where in said.items() if where == room} == set(history), f"lost in {room}"
            for told in (one.told[room] for one in self.followers if room in one.rooms):
                assert len(set(told)) == len(told), f"a follower was told something twice: {len(told) - len(set(told))}"
                assert set(told) == set(history), f"a follower misses {len(set(history) - set(told))} of {len(history)}"
                assert told == history, "a follower was told in another order than the room's"

    def _history(self, room: str) -> list[str]:
        line = next(one.line for one in self.followers if room in one.rooms)
        found, start = list[str](), dict[str, str]()
        while True:
            page = persistent(line, "GET", f"/rooms/{room}/messages", dir="b", limit=500, **start)
            found += [event["event_id"] for event in page["chunk"] if event["type"] == "m.room.message"]
            if "end" not in page:
                return found[::-1]
            start = {"from": page["end"]}

    def close(self) -> None:
        """Everybody hangs up."""
        for one in (*self.talkers, *self.followers):
            one.line.close()
