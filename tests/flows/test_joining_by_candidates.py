"""Which servers a join tries, in which order and for how long.  FLOWS: "Candidates"."""

import orjson
import pytest

from homeserver.membership.handshake import HEAD_START
from homeserver.settings import RateLimits
from homeserver.web.types import Request, Response
from tests.flows.joining import before, closes, invites, joins, member_event, membership, open_room, refusal, room_of, settled
from tests.world import Network, good, story


def asked(network: Network, what: str = "/make_join/") -> list[str]:
    return [to for _, to, _, path in network.log if what in path]


@story
async def test_the_next_one_starts_when_the_first_fails_and_the_inviters_server_is_first(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice, bob)
    network.down.add("a")
    began = network.reactor.seconds()
    reply = await bob.post(f"/join/{room}", {}, via=["x", "y", "z"])
    # All are down, which is known at once: nobody waits for anything.
    assert reply.status == 502 and network.reactor.seconds() == began
    assert asked(network, "prove_invite") == ["a", "x", "y", "z"]


@story
async def test_or_after_a_short_delay_whichever_comes_first(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await open_room(alice)
    network.silent |= {"hole", "pit"}
    began = network.reactor.seconds()
    await joins(bob, room, "hole", "pit", "a")
    assert network.reactor.seconds() - began == pytest.approx(2 * HEAD_START, abs=0.1)
    assert asked(network) == ["hole", "pit", "a"]  # several were under way


@pytest.mark.parametrize("seconds", [0.0, 3.0])
@story
async def test_with_three_dead_candidates_the_make_phase_takes_two_seconds_and_the_fourths_own_time(
    network: Network, seconds: float
) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await open_room(alice)
    network.silent.add("hole")
    answered: list[float] = []

    async def slowly(request: Request) -> Response:
        if "/make_join/" in request.path:
            await network.clock.sleep(seconds)
            answered.append(network.reactor.seconds())
        return await a.respond(request)

    network.servers["a"] = type("Slow", (), {"respond": staticmethod(slowly), "server": a.server})()
    began = network.reactor.seconds()
    await joins(bob, room, "dead", "hole", "gone", "a")
    assert answered[0] - began < 2 + seconds


@story
async def test_at_most_twenty_are_asked(network: Network) -> None:
    b = network.server("b")
    bob = await b.user("bob")
    reply = await bob.post("/join/!nowhere", {}, via=[f"s{number}" for number in range(50)])
    assert reply.status == 502
    assert asked(network) == [f"s{number}" for number in range(20)]


@story
async def test_a_candidate_that_answers_nonsense_or_denies_is_skipped(network: Network) -> None:
    a, b, c, d, e = (network.server(name) for name in "abcde")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await open_room(alice)
    before(network, c, lambda request: Response(200, {}, b'{"event": 7, "room_version": []}') if "make_join" in request.path else None)
    before(network, d, lambda request: refusal(403, "M_FORBIDDEN", "You are not invited") if "make_join" in request.path else None)
    before(network, e, lambda request: Response(200, {}, b"<html>") if "make_join" in request.path else None)
    await joins(bob, room, "c", "d", "e", "a")
    assert await membership(alice, room, bob) == "join"


@story
async def test_no_single_refusal_ends_the_attempt_and_the_next_starts_at_once(network: Network) -> None:
    a, b, c = (network.server(name) for name in "abc")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await open_room(alice)
    before(network, c, lambda request: refusal(400, "M_INCOMPATIBLE_ROOM_VERSION") if "make_join" in request.path else None)
    began = network.reactor.seconds()
    await joins(bob, room, "c", "a")
    assert network.reactor.seconds() == began


@pytest.mark.parametrize(
    ("worst", "status", "errcode"),
    [
        ((400, "M_INCOMPATIBLE_ROOM_VERSION"), 400, "M_INCOMPATIBLE_ROOM_VERSION"),
        ((403, "M_FORBIDDEN"), 403, "M_FORBIDDEN"),
        ((400, "M_UNABLE_TO_GRANT_JOIN"), 404, "M_NOT_FOUND"),
        ((500, "M_UNKNOWN"), 404, "M_NOT_FOUND"),
    ],
)
@story
async def test_if_all_fail_the_client_gets_the_most_specific_refusal_and_a_text_that_names_each(
    network: Network, worst: tuple[int, str], status: int, errcode: str
) -> None:
    b, c, _ = (network.server(name) for name in "bcd")
    bob = await b.user("bob")
    before(network, c, lambda request: refusal(*worst, "because of this"))
    reply = await bob.post("/join/!nowhere", {}, via=["dead", "c", "d"])
    assert (reply.status, reply.json["errcode"]) == (status, errcode)
    said = reply.json["error"]
    assert "dead: is down" in said and "because of this" in said and "d: M_NOT_FOUND: No such room" in said


@story
async def test_what_is_sent_goes_to_one_at_a_time_and_the_same_signed_event_goes_to_the_next(network: Network) -> None:
    a, b, c = (network.server(name) for name in "abc")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await settled(network)
    network.log.clear()
    taken: list[bytes] = []

    async def swallows(request: Request) -> Response:
        """Takes the join, and the answer is lost."""
        answer = await a.respond(request)
        if "/send_join/" in request.path:
            taken.append(request.body)
            return Response(502, {}, b"")
        return answer

    network.servers["a"] = type("Lossy", (), {"respond": staticmethod(swallows), "server": a.server})()
    between = before(network, c, lambda request: None)
    await joins(bob, room, "a", "c")
    sent = [path for path in between.asked if "/send_join/" in path]
    assert len(taken) == 1 and len(sent) == 1
    [first] = [path for _, to, _, path in network.log if to == "a" and "/send_join/" in path]
    assert first == sent[0]
    # One join, not two, on all three servers.
    assert len({(await member_event(viewer, room, bob)).event_id for viewer in (alice, carol, bob)}) == 1


@story
async def test_what_follows_anothers_template_and_is_refused_is_made_anew(network: Network) -> None:
    a, b, c = (network.server(name) for name in "abc")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await settled(network)

    async def lies(request: Request) -> Response:
        """Its template hangs in the air, and what it is sent it drops."""
        if "/send_join/" in request.path:
            return Response(502, {}, b"")
        answer = await a.respond(request)
        if "/make_join/" in request.path and isinstance(answer.body, bytes):
            said = orjson.loads(answer.body)
            said["event"]["prev_events"] = ["$" + "x" * 43]
            return Response(200, {"content-type": "application/json"}, orjson.dumps(said))
        return answer

    network.servers["a"] = type("Liar", (), {"respond": staticmethod(lies), "server": a.server})()
    await joins(bob, room, "a", "c")
    assert await membership(carol, room, bob) == "join"


@story
async def test_the_rejection_of_an_invite_tries_candidates_too(network: Network) -> None:
    a, b, c = (network.server(name) for name in "abc")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await closes(alice, room)
    good(await invites(alice, room, bob))
    await settled(network)
    network.down.add("a")
    good(await bob.post(f"/rooms/{room}/leave"))
    assert await membership(carol, room, bob) == "leave"


@story
async def test_so_does_a_knock(network: Network) -> None:
    a, b, c = (network.server(name) for name in "abc")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await closes(alice, room, "knock")
    await settled(network)
    network.down.add("a")
    network.silent.add("hole")
    good(await bob.post(f"/knock/{room}", {}, via=["a", "hole", "c"]))
    assert await membership(carol, room, bob) == "knock"


@story
async def test_joins_are_limited_per_user(network: Network) -> None:
    a = network.server("a", rate_limits=RateLimits())
    bob = await a.user("bob")
    told = [(await bob.post("/join/!nowhere", {})).status for _ in range(25)]
    assert told[:20] == [404] * 20 and 429 in told[20:]
