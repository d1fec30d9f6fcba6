"""What the core costs, without sockets, threads and fsync: figures per operation, and the statements of each act.

    python -m benchmarks.core [NAME...] [--engine sqlite|postgres] [--profile]

Times are CPU microseconds of this process, the best of a few rounds (other load on the machine only ever adds); counts are exact.
`--profile` prints where the time of each goes.
"""

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from homeserver.events import drafts, rules, versions
from homeserver.events import event as events
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.identity import Identity, generate_key
from tests.world import Client, Network, good, story

ROUNDS = 5
HELLO = {"msgtype": "m.text", "body": "x" * 200}
SLIDING, UPLOAD, QUERY, CLAIM = "/sync, sliding, 20 rooms", "keys: upload 50", "keys: query 100", "keys: claim 100"
STATE = ["m.room.create", "m.room.name", "m.room.avatar", "m.room.encryption", "m.room.power_levels"]
MEMBERS = [("m.room.member", "$ME"), ("m.room.member", "$LAZY")]
WINDOW = {"ranges": [[0, 19]], "timeline_limit": 20, "required_state": [*((kind, "") for kind in STATE), *MEMBERS]}


@dataclass
class Bench:
    """Measures, prints, profiles."""

    wanted: list[str]
    profiled: bool

    def skips(self, *names: str) -> bool:
        """Whether none of these is wanted."""
        return bool(self.wanted) and not any(part in name for part in self.wanted for name in names)

    def pure(self, name: str, count: int, act: Callable[[], object]) -> None:
        """A function."""
        if not self.skips(name):
            best = min(self._round(count, act) for _ in range(ROUNDS))
            print(f"{name:40} {best:9.1f} us")

    def _round(self, count: int, act: Callable[[], object]) -> float:
        begin = time.process_time()
        for _ in range(count):
            act()
        return (time.process_time() - begin) / count * 1e6

    async def asked(self, name: str, client: Client, count: int, act: Callable[[int], Awaitable[Any]], among: int = 1) -> None:
        """A request; `act` gets a number that no other request had.  `among`: how many share what each costs."""
        if self.skips(name):
            return
        database = client.home.server.database
        await act(-1)
        before, best = database.counts, float("inf")
        profile = cProfile.Profile()
        for turn in range(ROUNDS):
            begin = time.process_time()
            if self.profiled:
                profile.enable()
            for number in range(count):
                await act(turn * count + number)
            profile.disable()
            best = min(best, (time.process_time() - begin) / count / among * 1e6)
        done, after = ROUNDS * count * among, database.counts
        made = [(getattr(after, what) - getattr(before, what)) / done for what in ("statements", "reads", "acts")]
        print(f"{name:40} {best:9.1f} us {made[0]:8.2f} statements {made[1]:6.2f} reads {made[2]:6.2f} acts")
        if self.profiled:
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def pure(bench: Bench) -> None:
    """Events: completed, signed, read, checked."""
    version, name = versions.get("11"), ServerName("a")
    identity, alice, room = Identity(name, generate_key()), UserID("@alice:a"), RoomID("!r:a")

    def made(draft: Draft, depth: int) -> dict[str, Any]:
        return drafts.complete(version, draft, room, ["$" + "p" * 43], ["$" + "a" * 43] * 3, depth, 1)

    def whole(draft: Draft, depth: int) -> events.Event:
        return events.read(version, identity.sign_event(version, made(draft, depth)))

    create = events.read(
        version, identity.sign_event(version, drafts.complete(version, Draft("m.room.create", alice, {}, ""), room, [], [], 1, 1))
    )
    member = whole(Draft("m.room.member", alice, {"membership": "join"}, alice), 2)
    levels = whole(Draft("m.room.power_levels", alice, {"users": {alice: 100}}, ""), 3)
    view = {(event.type, event.state_key or ""): event for event in (create, member, levels)}
    message = Draft("m.room.message", alice, HELLO)
    event, data = whole(message, 4), made(message, 4)
    pure_copy = event.data
    bench.pure("event: complete and hash", 2000, lambda: made(message, 4))
    bench.pure("event: sign", 2000, lambda: identity.sign_event(version, dict(data)))
    bench.pure("event: read", 2000, lambda: events.read(version, pure_copy))
    bench.pure("event: check", 2000, lambda: rules.check(event, view))


async def many_users(network: Network, count: int) -> tuple[list[Client], str]:
    """So many users in a room."""
    home = network.server("a")
    users = [await home.user(f"user{number}") for number in range(count)]
    room = good(await users[0].post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for user in users[1:]:
        good(await user.post(f"/join/{room}", {}))
    return users, room


def said(room: str, number: object) -> str:
    """The path that a message is sent to."""
    return f"/rooms/{room}/send/m.room.message/{number}"


async def rooms(bench: Bench, network: Network) -> None:
    """Requests about one room."""
    users, room = await many_users(network, 200)
    alice, bob = users[:2]
    since = {"next_batch": good(await bob.get("/sync"))["next_batch"]}

    async def follow(number: int) -> None:
        good(await alice.put(said(room, f"f{number}"), HELLO))
        since.update(good(await bob.get("/sync", since=since["next_batch"])))

    await bench.asked("send", alice, 100, lambda n: alice.put(said(room, f"s{n}"), HELLO))
    await bench.asked("send, and a /sync that gets it", alice, 100, follow)
    since.update(good(await bob.get("/sync")))
    for number in range(100):
        good(await alice.put(said(room, f"m{number}"), HELLO))
    since.update(good(await bob.get("/sync")))
    await bench.asked("/sync without news", bob, 100, lambda n: bob.get("/sync", since=since["next_batch"]))
    await bench.asked("/messages, 100 events", bob, 10, lambda n: bob.get(f"/rooms/{room}/messages", dir="b", limit="100"))
    await bench.asked("/members, 200", bob, 5, lambda n: bob.get(f"/rooms/{room}/members"))
    await bench.asked("/state, 200 members", bob, 5, lambda n: bob.get(f"/rooms/{room}/state"))
    await bench.asked("createRoom", alice, 5, lambda n: alice.post("/createRoom", {"preset": "public_chat"}))
    newcomers = iter([await network.servers["a"].user(f"new{number}") for number in range(5 * ROUNDS + 1)])
    await bench.asked("join", alice, 5, lambda n: next(newcomers).post(f"/join/{room}", {}))


async def initial(bench: Bench, network: Network) -> None:
    """A user in 100 rooms of 20 messages asks for all of them."""
    if bench.skips("/sync, initial, 100 rooms", "/sync, initial, lazy, 100 rooms", SLIDING):
        return
    home = network.server("b")
    alice, bob = await home.user("alice"), await home.user("bob")
    for number in range(100):
        room = good(await alice.post("/createRoom", {"preset": "public_chat", "name": str(number)}))["room_id"]
        good(await bob.post(f"/join/{room}", {}))
        for message in range(20):
            good(await alice.put(said(room, message), HELLO))
    await bench.asked("/sync, initial, 100 rooms", bob, 1, lambda n: bob.get("/sync"))
    lazy = orjson.dumps({"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 100}}}).decode()
    await bench.asked("/sync, initial, lazy, 100 rooms", bob, 1, lambda n: bob.get("/sync", filter=lazy))
    path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
    await bench.asked(SLIDING, bob, 12, lambda n: bob.post(path, {"conn_id": f"c{n}", "lists": {"all": WINDOW}}))


async def accounts(bench: Bench, network: Network) -> None:
    """Users register and log in; the hash of the password is as cheap as it can be."""
    home = network.server("c")
    anybody = Client(home, UserID("@nobody:c"), "", "")
    auth = {"type": "m.login.dummy"}

    async def register(number: int) -> None:
        good(await anybody.post("/register", {"username": f"user{number}", "password": "secret", "auth": auth}))

    async def login(number: int) -> None:
        who = {"type": "m.id.user", "user": "somebody"}
        good(await anybody.post("/login", {"type": "m.login.password", "identifier": who, "password": "secret"}))

    good(await anybody.post("/register", {"username": "somebody", "password": "secret", "auth": auth}))
    await bench.asked("register", anybody, 40, register)
    await bench.asked("login", anybody, 40, login)


async def keys(bench: Bench, network: Network) -> None:
    """Keys of a hundred devices: uploaded, asked for, claimed."""
    if bench.skips(UPLOAD, QUERY, CLAIM):
        return
    home = network.server("d")
    users = [await home.user(f"user{number}") for number in range(100)]

    def uploaded(user: Client, number: int) -> Awaitable[Any]:
        device = {
            "user_id": user.user_id,
            "device_id": user.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {f"curve25519:{user.device_id}": "x" * 43, f"ed25519:{user.device_id}": "y" * 43},
        }
        signed = {"key": "z" * 43, "signatures": {user.user_id: {f"ed25519:{user.device_id}": "s" * 86}}}
        one_time = {f"signed_curve25519:{number}-{n}": signed for n in range(50)}
        device["signatures"] = signed["signatures"]
        return user.post("/keys/upload", {"device_keys": device, "one_time_keys": one_time})

    for user in users[1:]:
        good(await uploaded(user, -2))
    await bench.asked(UPLOAD, users[0], 19, lambda n: uploaded(users[(n + 1) % 100], n))
    everybody: dict[str, list[str]] = {user.user_id: [] for user in users}
    await bench.asked(QUERY, users[0], 10, lambda n: users[n].post("/keys/query", {"device_keys": everybody}))
    wanted = {user.user_id: {user.device_id: "signed_curve25519"} for user in users}
    await bench.asked(CLAIM, users[0], 8, lambda n: users[n].post("/keys/claim", {"one_time_keys": wanted}))


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names")
    parser.add_argument("--engine", default="sqlite", choices=("sqlite", "postgres"))
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args(sys.argv[1:])
    bench = Bench(asked.names, asked.profile)
    pure(bench)
    for part in (rooms, initial, accounts, keys):
        run(partial(part, bench), asked.engine)


def run(told: Callable[..., Awaitable[None]], engine: str) -> None:
    """Tell a story of `tests.world` outside of a test."""

    async def test(network: Network) -> None:
        await told(network)

    story(test)(engine=engine)


if __name__ == "__main__":
    main()
