"""What delivery costs those who wait: one message, receipt or message to devices, and the `/sync` of each of a hundred that gets it.

    python -m benchmarks.live [NAME...] [--engine sqlite|postgres] [--profile]

Figures are for one delivery, as in `benchmarks.core`: the act's own cost is shared by those who hear of it.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.core import HELLO, ROUNDS, Bench, run, said
from tests.world import Client, Network, good

READERS = 100
MESSAGES = 20
POLL = "30000"


async def many(network: Network, home: str = "a") -> tuple[list[Client], str]:
    """Users in one room."""
    server = network.server(home)
    users = [await server.user(f"user{number}") for number in range(READERS + 1)]
    room = good(await users[0].post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for user in users[1:]:
        good(await user.post(f"/join/{room}", {}))
    return users, room


class Waiting:
    """Clients that wait all the time, each with the token that it got last."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients, self.since = clients, {client.user_id: "" for client in clients}
        self.polls: list[Deferred[Any]] = []

    async def begin(self) -> None:
        """Learn what there is."""
        for client in self.clients * 2:
            self.since[client.user_id] = good(await client.get("/sync"))["next_batch"]
        self.wait()

    def wait(self) -> None:
        """Every one asks for news."""
        polls = [client.get("/sync", since=self.since[client.user_id], timeout=POLL) for client in self.clients]
        self.polls = [Deferred.fromCoroutine(poll) for poll in polls]

    async def heard(self) -> int:
        """All have heard something, and ask again; how many bytes they heard."""
        size = 0
        for client, poll in zip(self.clients, self.polls, strict=True):
            answer = good(await poll)
            size += len(answer)
            self.since[client.user_id] = answer["next_batch"]
        self.wait()
        return size


async def delivered(bench: Bench, name: str, waiting: Waiting, act: Callable[[int], Awaitable[Any]]) -> None:
    """Act, and have everybody hear of it."""

    async def heard(number: int) -> None:
        await act(number)
        await waiting.heard()

    await bench.asked(name, waiting.clients[0], MESSAGES, heard, among=READERS)


async def live(bench: Bench, network: Network) -> None:
    """One room, a sender, and all others waiting."""
    if bench.skips("a message", "a topic", "a message to devices"):
        return
    users, room = await many(network)
    sender = users[0]
    last: dict[int, str] = {}

    async def say(number: int) -> None:
        last[0] = good(await sender.put(said(room, f"l{number}"), HELLO))["event_id"]

    async def read(number: int) -> None:
        await sender.put(said(room, f"r{number}"), HELLO)
        good(await sender.post(f"/rooms/{room}/receipt/m.read/{last[0]}", {}))

    async def send(number: int) -> None:
        content = {"algorithm": "m.olm.v1", "ciphertext": {"x": {"type": 0, "body": "x" * 400}}}
        to = {user.user_id: {"*": content} for user in users[1:]}
        good(await sender.put(f"/sendToDevice/m.room.encrypted/{number}", {"messages": to}))

    async def rename(number: int) -> None:
        good(await sender.put(f"/rooms/{room}/state/m.room.topic", {"topic": str(number)}))

    waiting = Waiting(users[1:])
    await waiting.begin()
    await delivered(bench, "a message", waiting, say)
    if not last:
        await say(-2)
        await waiting.heard()
    await delivered(bench, "a topic", waiting, rename)
    await delivered(bench, "a message to devices", waiting, send)


def uploaded(client: Client, number: int) -> dict[str, Any]:
    """Device keys and fifty one-time keys."""
    signed = {client.user_id: {f"ed25519:{client.device_id}": "s" * 86}}
    names = [f"signed_curve25519:AAAA{number:06}{key:02}" for key in range(50)]
    return {
        "one_time_keys": {name: {"key": "k" * 43, "signatures": signed} for name in names},
        "device_keys": {
            "user_id": client.user_id,
            "device_id": client.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {f"{name}:{client.device_id}": "p" * 43 for name in ("curve25519", "ed25519")},
            "signatures": signed,
        },
    }


async def keys(bench: Bench, network: Network) -> None:
    """A hundred devices with keys."""
    names = ("/keys/upload, 50", "/keys/query, 100 users", "/keys/claim, 100 users")
    if bench.skips(*names):
        return
    server = network.server("k")
    users = [await server.user(f"user{number}") for number in range(READERS)]
    for number, user in enumerate(users):
        good(await user.post("/keys/upload", uploaded(user, number)))
    newcomers = iter([await server.user(f"new{number}") for number in range(20 * ROUNDS + 1)])

    async def upload(number: int) -> None:
        newcomer = next(newcomers)
        good(await newcomer.post("/keys/upload", uploaded(newcomer, number + 1000)))

    await bench.asked(names[0], users[0], 20, upload)
    everyone = {"device_keys": {user.user_id: [] for user in users}}
    await bench.asked(names[1], users[0], 10, lambda n: users[0].post("/keys/query", everyone))
    claims = {"one_time_keys": {user.user_id: {user.device_id: "signed_curve25519"} for user in users}}
    await bench.asked(names[2], users[0], 9, lambda n: users[0].post("/keys/claim", claims))


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names")
    parser.add_argument("--engine", default="sqlite", choices=("sqlite", "postgres"))
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args(sys.argv[1:])
    bench = Bench(asked.names, asked.profile)
    for part in (live, keys):
        run(partial(part, bench), asked.engine)


if __name__ == "__main__":
    main()
