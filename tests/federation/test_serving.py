"""What servers may read of rooms, and what they cannot even tell from rooms that never were."""

from typing import Any
from urllib.parse import quote

import pytest

from homeserver.federation.failures import Answered
from tests.federation.test_between_servers import says, settled, shared_room
from tests.world import Client, Home, Network, good, story

V1 = "/_matrix/federation/v1"


async def ask(by: Home, of: Home, path: str, body: Any = None) -> Any:
    """The answer to a signed question, or (status, errcode, text) of its refusal."""
    try:
        return await by.server.federation.peers.ask(of.name, "GET" if body is None else "POST", V1 + path, body)
    except Answered as refused:
        return refused.status, refused.errcode, refused.message


def questions(room: str, event: str) -> list[tuple[str, Any]]:
    """Every question about a room."""
    gap = {"earliest_events": [], "latest_events": [event]}
    room, event = quote(room, safe=""), quote(event, safe="")
    return [
        (f"/state/{room}?event_id={event}", None),
        (f"/state_ids/{room}?event_id={event}", None),
        (f"/event_auth/{room}/{event}", None),
        (f"/backfill/{room}?v={event}&limit=10", None),
        (f"/get_missing_events/{room}", gap),
    ]


async def private_room(alice: Client, *others: Client) -> str:
    room = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    for other in others:
        good(await alice.post(f"/rooms/{room}/invite", {"user_id": other.user_id}))
        good(await other.post(f"/rooms/{room}/join", {}))
    await settled(alice.home.network)
    return room


@story
async def test_a_server_in_the_room_is_answered(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await private_room(alice, bob)
    first, second = await says(alice, room, "first"), await says(alice, room, "second")
    state, ids, chain, older, missing = [await ask(b, a, *question) for question in questions(room, second)]
    assert {event["type"] for event in state["pdus"]} >= {"m.room.create", "m.room.member", "m.room.power_levels"}
    assert len(ids["pdu_ids"]) == len(state["pdus"]) and len(ids["auth_chain_ids"]) == len(state["auth_chain"])
    assert {event["type"] for event in chain["auth_chain"]} >= {"m.room.member", "m.room.power_levels"}
    assert [event["content"].get("body") for event in older["pdus"]][:2] == ["second", "first"] and len(older["pdus"]) == 10
    assert [event["content"].get("body") for event in missing["events"]][-1:] == ["first"]
    (event,) = (await ask(b, a, f"/event/{first}"))["pdus"]
    assert event["content"]["body"] == "first"


@story
async def test_a_hidden_room_and_one_that_never_was_are_the_same(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await private_room(alice, bob)
    event = await says(alice, room, "secret")
    never, nothing = "!never:a", "$never"
    for (path, body), (same, also) in zip(questions(room, event), questions(never, nothing), strict=True):
        assert await ask(c, a, path, body) == await ask(c, a, same, also)
        assert (await ask(c, a, path, body))[0] == 404
    assert await ask(c, a, f"/event/{event}") == await ask(c, a, f"/event/{nothing}")


@story
async def test_a_room_that_is_known_is_still_not_read_from_outside(network: Network) -> None:
    a, c = network.server("a"), network.server("c")
    alice = await a.user("alice")
    room = await shared_room(alice)
    event = await says(alice, room, "hello")
    for path, body in questions(room, event):
        assert (await ask(c, a, path, body))[:2] == (403, "M_FORBIDDEN")
    assert (await ask(c, a, f"/event/{event}"))[0] == 404


@story
async def test_a_denied_server_is_told_so(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    event = await says(alice, room, "hello")
    good(await alice.put(f"/rooms/{room}/state/m.room.server_acl", {"allow": ["*"], "deny": ["B"]}))
    for path, body in questions(room, event):
        assert (await ask(b, a, path, body))[:2] == (403, "M_FORBIDDEN")
    assert (await ask(b, a, f"/event/{event}"))[0] == 404


@pytest.mark.parametrize(("visibility", "seen"), [("shared", True), ("world_readable", True), ("invited", False), ("joined", False)])
def test_history_from_before_a_server_came_is_shown_or_redacted(visibility: str, seen: bool, engine: str) -> None:
    @story
    async def tell(network: Network) -> None:
        a, b = network.server("a"), network.server("b")
        alice, bob = await a.user("alice"), await b.user("bob")
        room = await shared_room(alice)
        good(await alice.put(f"/rooms/{room}/state/m.room.history_visibility", {"history_visibility": visibility}))
        await says(alice, room, "before")
        good(await bob.post(f"/join/{room}", {}, server_name=["a"]))
        await settled(network)
        after = await says(alice, room, "after")
        older = await ask(b, a, f"/backfill/{quote(room)}?v={after}&limit=10")
        bodies = [event["content"].get("body") for event in older["pdus"] if event["type"] == "m.room.message"]
        assert bodies == ["after", "before" if seen else None]

    tell(engine=engine)


@story
async def test_nonsense_is_refused_and_limits_hold(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    for number in range(130):
        last = await says(alice, room, f"{number}")
    path = quote(room)
    assert len((await ask(b, a, f"/backfill/{path}?v={last}&limit=1000"))["pdus"]) == 100
    assert (await ask(b, a, f"/backfill/{path}?v={last}&limit=-5"))["pdus"] == []
    assert (await ask(b, a, f"/backfill/{path}?v=%24nothing&limit=5"))["pdus"] == []
    everything = {"earliest_events": [], "latest_events": [last], "limit": 10**6}
    assert len((await ask(b, a, f"/get_missing_events/{path}", everything))["events"]) == 20
    assert (await ask(b, a, f"/state/{path}"))[0] == 400
    assert (await ask(b, a, f"/state/{path}?event_id=%24nothing"))[0] == 404
    assert (await ask(b, a, f"/get_missing_events/{path}", {"latest_events": "x"}))[0] == 400
