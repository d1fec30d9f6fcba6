"""Who calls: application services as their users, and what is remembered of tokens."""

from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.accounts import registration
from homeserver.accounts.bridges import Bridge
from homeserver.accounts.callers import Callers, Memory, Revocations, Sightings
from homeserver.accounts.registration import NewUser
from homeserver.errors import Refused, UnknownToken
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts
from homeserver.storage.accounts import RegistrationToken
from homeserver.web.callers import Caller
from homeserver.web.types import Request
from tests.world import Network, good, story

BOT = UserID("@ircbot:a")


@dataclass(frozen=True)
class IRC:
    """A bridge whose users begin with irc_."""

    id: str = "irc"
    sender: UserID = BOT
    rate_limited: bool = False

    def owns(self, user_id: str) -> bool:
        return user_id == self.sender or user_id.startswith("@irc_")

    def by_token(self, token: str) -> Bridge | None:
        return self if token == "as token" else None

    def reserved(self, user_id: str, besides: str | None = None) -> bool:
        return besides != self.id and self.owns(user_id)


def asks(query: str = "", token: str = "as token") -> Request:
    return Request("GET", "/x", query, {"authorization": f"Bearer {token}"})


@story
async def test_a_bridge_acts_as_its_users_only(network: Network) -> None:
    server = network.server("a").server
    callers = Callers(server.database, server.clock, IRC())
    bot = await callers.identify(asks())
    assert (bot.user_id, bot.appservice, bot.rate_limited) == ("@ircbot:a", "irc", False)

    for query, status, errcode in [
        ("user_id=%40alice%3Aa", 403, "M_FORBIDDEN"),  # not its own
        ("user_id=%40irc_bob%3Aa", 403, "M_FORBIDDEN"),  # not registered
        ("user_id=nonsense", 400, "M_INVALID_PARAM"),
        ("device_id=NONE", 403, "M_FORBIDDEN"),
    ]:
        with pytest.raises(Refused) as caught:
            await callers.identify(asks(query))
        assert (caught.value.status, caught.value.errcode) == (status, errcode), query

    await server.database.write(registration.create, NewUser(UserID("@irc_bob:a"), kind="appservice"), 0)
    assert (await callers.identify(asks("user_id=@irc_bob:a"))).user_id == "@irc_bob:a"
    with pytest.raises(Refused, match="no such device"):
        await callers.identify(asks("user_id=@irc_bob:a&device_id=NONE"))
    await server.database.write(accounts.set_suspended, "@irc_bob:a", True)
    assert (await callers.identify(asks("user_id=@irc_bob:a"))).is_suspended
    await server.database.write(accounts.deactivate, "@irc_bob:a", False)
    with pytest.raises(Refused, match="deactivated"):
        await callers.identify(asks("user_id=@irc_bob:a"))


@story
async def test_a_change_behind_our_back_is_seen_soon(network: Network) -> None:
    home = network.server("a")
    alice = await home.user("alice")
    assert (await alice.get("/account/whoami")).status == 200
    await home.server.database.write(lambda txn: txn.run("DELETE FROM tokens"))  # as another process would
    await network.passes(16)
    # SQLite is one process's alone.
    assert (await alice.get("/account/whoami")).status == (200 if home.server.database.engine == "sqlite" else 401)


@story
async def test_other_processes_are_told(network: Network) -> None:
    home = network.server("a")
    alice, bob = await home.user("alice"), await home.user("bob")
    other = Callers(home.server.database, home.server.clock)  # what another process on the same database knows
    listening = Revocations(home.server.database.wakeups, other.memory)
    listening.start()
    requests = {client.user_id: asks(token=client.token or "") for client in (alice, bob)}
    for request in requests.values():
        await other.identify(request)
    await alice.post("/logout")
    with pytest.raises(UnknownToken):
        await other.identify(requests[alice.user_id])
    assert (await other.identify(requests[bob.user_id])).user_id == bob.user_id
    await listening.stop()


def test_memory_is_bounded() -> None:
    memory, sightings = Memory(capacity=3), Sightings()
    for n in range(10):
        memory.keep(b"x%d" % n, object(), memory.generation)  # type: ignore[arg-type]
    assert [memory.get(b"x%d" % n) is not None for n in range(10)] == [False] * 7 + [True] * 3
    memory.forget([b"x9", b"never was"])
    assert memory.get(b"x9") is None
    for n in range(10):
        sightings.note(Caller(UserID("@a:b"), "D"), asks(token=str(n)), n)
    assert len(sightings._waiting) == 1


def test_when_a_registration_token_is_open() -> None:
    word = RegistrationToken("x", uses_allowed=2, completed=1, created_ts=0, expires_ts=10)
    assert word.open(9) and not word.open(10) and not word.open(9, pending=1)
    assert RegistrationToken("x", None, 10**9, 0, None).open(10**15, pending=10**6)
    assert not RegistrationToken("x", 0, 0, 0, None).open(0)


@story
async def test_a_new_session_is_known_without_a_look(network: Network) -> None:
    home = network.server("a")
    database = home.server.database
    made = {"username": "alice", "password": "Correct-Horse-7", "auth": {"type": "m.login.dummy"}}
    password = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "Correct-Horse-7"}
    for way, body in (("/register", made), ("/login", password)):
        session = good(await home.stranger().post(way, body))
        before = database.counts.statements
        client = home.stranger(session["access_token"])
        assert good(await client.get("/account/whoami"))["device_id"] == session["device_id"]
        assert database.counts.statements == before


@story
async def test_what_an_account_and_a_session_cost(network: Network) -> None:
    home = network.server("a")
    database = home.server.database

    async def cost(way: str, body: dict[str, Any]) -> tuple[int, int, int, int]:
        """Statements, round trips (the tests' own begin and end of each transaction among them), reads, acts."""
        before = database.counts
        good(await home.stranger().post(way, body))
        after = database.counts
        done = after.statements - before.statements, after.trips - before.trips
        return *done, after.reads - before.reads, after.acts - before.acts

    made = {"username": "alice", "password": "Correct-Horse-7", "auth": {"type": "m.login.dummy"}}
    statements, trips, reads, acts = await cost("/register", made)
    assert statements <= 9 and trips <= 5 and (reads, acts) == (0, 1)
    password = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "Correct-Horse-7"}
    statements, trips, reads, acts = await cost("/login", password)
    assert statements <= 7 and trips <= 8 and (reads, acts) == (1, 1)
