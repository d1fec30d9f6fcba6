"""What acts cost, in work that can be counted: these numbers are promises.  A time is never tested.

`pytest -s tests/test_counts.py` prints the table, for each database.  A number in `LIMITS` is the most of what was counted on either
database when it was last changed, or slightly more.  Whoever makes an act cheaper lowers its numbers; whoever raises one says in the
commit what it buys.  An act that is done for the first time may cost more: here everything has been done once before.

Columns: transactions that write, transactions that only read, statements, round trips to a PostgreSQL (SQLite has none), signatures
made, signatures checked, JSON texts made, JSON texts read.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from types import FrameType
from typing import Any

from homeserver.events import signing
from tests.docs.trace import INSIDE
from tests.world import Client, Home, Network, good, story

HELLO = {"msgtype": "m.text", "body": "hello"}
SIGN, CHECK = signing.Key.sign.__code__, signing.check_signature.__code__


@dataclass
class Cost:
    """What an act cost, or may cost at most."""

    writes: int = 0
    reads: int = 0
    statements: int = 0
    trips: int = 0
    signed: int = 0
    checked: int = 0
    encoded: int = 0
    decoded: int = 0

    def over(self, limit: "Cost") -> list[str]:
        """The columns in which it is more than `limit`."""
        return [each.name for each in fields(Cost) if getattr(self, each.name) > getattr(limit, each.name)]


LIMITS: dict[str, Cost] = {
    "a message": Cost(1, 0, 8, 4, 1, 0, 6, 2),
    "a change of state": Cost(1, 0, 12, 6, 1, 0, 7, 7),
    "createRoom": Cost(1, 1, 49, 12, 11, 0, 47, 2),
    "a leave and a join": Cost(2, 1, 43, 20, 2, 0, 11, 12),
    "a join by alias, of who is in": Cost(1, 1, 4, 7, 0, 0, 1, 5),
    "a page of history": Cost(0, 1, 4, 6, 0, 0, 19, 15),
    "the members of a room": Cost(0, 1, 1, 3, 0, 0, 0, 1),
    "a message and its redaction": Cost(2, 0, 26, 13, 2, 0, 15, 15),
    "a message and its receipt": Cost(2, 0, 20, 15, 1, 0, 8, 6),
    "typing": Cost(0, 1, 3, 5, 0, 0, 0, 2),
    "a message to a device": Cost(1, 0, 8, 8, 0, 0, 4, 2),
    "a message and the /sync that gets it": Cost(1, 0, 9, 5, 1, 0, 11, 3),
    "upload of 50 one-time keys": Cost(1, 0, 4, 4, 0, 0, 52, 1),
    "query of a user's keys": Cost(0, 1, 2, 4, 0, 0, 1, 1),
    "claim of a key": Cost(1, 0, 2, 3, 0, 0, 1, 1),
    "register": Cost(1, 0, 9, 4, 0, 0, 4, 2),
    "login": Cost(1, 1, 7, 7, 0, 0, 1, 1),
    "a message to another server, on both": Cost(2, 0, 18, 12, 2, 2, 27, 8),
}


@contextmanager
def counted(*homes: Home) -> Iterator[Cost]:
    """Count what servers do within."""
    cost, databases = Cost(), [home.server.database for home in homes]

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            cost.signed += frame.f_code is SIGN
            cost.checked += frame.f_code is CHECK
        elif event == "c_call" and frame.f_code.co_filename.startswith(INSIDE):
            module = getattr(arg, "__module__", None) or type(getattr(arg, "__self__", None)).__module__
            if module in ("orjson", "msgspec", "msgspec.json", "msgspec._core"):
                cost.encoded += arg.__name__ in ("dumps", "encode", "encode_into")
                cost.decoded += arg.__name__ in ("loads", "decode")

    before = [database.counts for database in databases]
    sys.setprofile(watch)
    try:
        yield cost
    finally:
        sys.setprofile(None)
        for first, database in zip(before, databases, strict=True):
            last = database.counts
            cost.writes += last.groups - first.groups
            cost.reads += last.reads - first.reads
            cost.statements += last.statements - first.statements
            cost.trips += last.trips - first.trips


@dataclass
class Town:
    """Two servers, and people who have met."""

    network: Network
    a: Home
    b: Home
    alice: Client
    bob: Client
    carol: Client
    room: str
    shared: str
    since: str = ""

    @classmethod
    async def build(cls, network: Network) -> "Town":
        a, b = network.server("a"), network.server("b")
        alice, bob, carol = await a.user("alice"), await a.user("bob"), await b.user("carol")
        room, shared = [good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"] for _ in "12"]
        good(await bob.post(f"/join/{room}", {}))
        good(await carol.post(f"/join/{shared}", via="a"))
        return cls(network, a, b, alice, bob, carol, room, shared)

    async def settled(self) -> None:
        """Wait until everything has been told to everybody."""
        for home in (self.a, self.b, self.a):
            await home.server.federation.outbox.idle()
            for other in (self.a, self.b):
                await other.server.arrivals.inbox.idle()

    async def said(self, number: str) -> str:
        """A message, as its id."""
        return str(good(await self.alice.put(f"/rooms/{self.room}/send/m.room.message/{number}", HELLO))["event_id"])


Act = Callable[[Town, int], Awaitable[Any]]


async def message(town: Town, n: int) -> Any:
    return await town.alice.put(f"/rooms/{town.room}/send/m.room.message/m{n}", HELLO)


async def state(town: Town, n: int) -> Any:
    return await town.alice.put(f"/rooms/{town.room}/state/m.room.topic", {"topic": f"topic {n}"})


async def create_room(town: Town, n: int) -> Any:
    return await town.alice.post("/createRoom", {"preset": "private_chat", "name": f"room {n}"})


async def join_and_leave(town: Town, n: int) -> Any:
    good(await town.bob.post(f"/rooms/{town.room}/leave", {}))
    return await town.bob.post(f"/join/{town.room}", {})


async def page_of_history(town: Town, n: int) -> Any:
    return await town.bob.get(f"/rooms/{town.room}/messages", dir="b", limit="100")


async def members_of_a_room(town: Town, n: int) -> Any:
    return await town.bob.get(f"/rooms/{town.room}/members")


async def join_by_alias(town: Town, n: int) -> Any:
    if n == 0:
        good(await town.alice.put("/directory/room/%23hall:a", {"room_id": town.room}))
    return await town.bob.post("/join/%23hall:a", {})


async def message_and_redaction(town: Town, n: int) -> Any:
    return await town.alice.put(f"/rooms/{town.room}/redact/{await town.said(f'r{n}')}/redaction{n}", {})


async def message_and_receipt(town: Town, n: int) -> Any:
    return await town.bob.post(f"/rooms/{town.room}/receipt/m.read/{await town.said(f'x{n}')}", {})


async def typing(town: Town, n: int) -> Any:
    return await town.bob.put(f"/rooms/{town.room}/typing/{town.bob.user_id}", {"typing": n % 2 == 0, "timeout": 9000})


async def to_device(town: Town, n: int) -> Any:
    return await town.alice.put(f"/sendToDevice/org.test/t{n}", {"messages": {town.bob.user_id: {town.bob.device_id: {"n": n}}}})


async def keys_upload(town: Town, n: int) -> Any:
    keys = {f"signed_curve25519:K{n}.{i}": {"key": f"{n}.{i}", "signatures": {}} for i in range(50)}
    return await town.bob.post("/keys/upload", {"one_time_keys": keys})


async def keys_query(town: Town, n: int) -> Any:
    return await town.alice.post("/keys/query", {"device_keys": {town.bob.user_id: []}})


async def keys_claim(town: Town, n: int) -> Any:
    return await town.alice.post("/keys/claim", {"one_time_keys": {town.bob.user_id: {town.bob.device_id: "signed_curve25519"}}})


async def register(town: Town, n: int) -> Any:
    asked = {"username": f"new{n}", "password": "long enough", "auth": {"type": "m.login.dummy"}}
    return await town.a.stranger().post("/register", asked)


async def login(town: Town, n: int) -> Any:
    asked = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": f"new{n}"}, "password": "long enough"}
    return await town.a.stranger().post("/login", asked)


async def sync_that_gets_a_message(town: Town, n: int) -> Any:
    if n == 0:
        town.since = good(await town.bob.get("/sync"))["next_batch"]
    await town.said(f"s{n}")
    reply = await town.bob.get("/sync", since=town.since)
    town.since = good(reply)["next_batch"]
    return reply


async def federated_message(town: Town, n: int) -> Any:
    reply = await town.alice.put(f"/rooms/{town.shared}/send/m.room.message/f{n}", HELLO)
    await town.settled()
    return reply


ACTS: dict[str, Act] = {
    "a message": message,
    "a change of state": state,
    "createRoom": create_room,
    "a leave and a join": join_and_leave,
    "a join by alias, of who is in": join_by_alias,
    "a page of history": page_of_history,
    "the members of a room": members_of_a_room,
    "a message and its redaction": message_and_redaction,
    "a message and its receipt": message_and_receipt,
    "typing": typing,
    "a message to a device": to_device,
    "a message and the /sync that gets it": sync_that_gets_a_message,
    "upload of 50 one-time keys": keys_upload,
    "query of a user's keys": keys_query,
    "claim of a key": keys_claim,
    "register": register,
    "login": login,
    "a message to another server, on both": federated_message,
}


@story
async def test_what_acts_cost(network: Network, engine: str) -> None:
    town = await Town.build(network)
    too_much, columns = [], [each.name for each in fields(Cost)]
    print(f"\n{engine:40}" + "".join(f"{name:>11}" for name in columns))
    for name, act in ACTS.items():
        for number in range(2):
            good(await act(town, number))
        await town.settled()
        with counted(town.a, town.b) as cost:
            reply = await act(town, 2 if act is not login else 1)
        good(reply)
        print(f"{name:40}" + "".join(f"{getattr(cost, column):11}" for column in columns))
        too_much += [f"{name}: {column}" for column in cost.over(LIMITS[name])]
    assert not too_much
