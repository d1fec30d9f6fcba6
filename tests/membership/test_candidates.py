"""Which servers are asked, in which order, and what becomes of their refusals."""

from homeserver.events.identifiers import ServerName
from homeserver.membership import candidates
from homeserver.membership.candidates import Failure
from tests.world import Network, good, story


def names(*texts: str) -> list[ServerName]:
    return [ServerName(text) for text in texts]


def test_the_inviter_is_asked_first_and_nobody_twice() -> None:
    found = candidates.order(ServerName("inviter"), names("b", "inviter", "c"), names("c", "us", "d"), ServerName("us"))
    assert found == names("inviter", "b", "c", "d")


def test_no_more_than_twenty_are_asked() -> None:
    assert len(candidates.order(None, names(*(f"s{i}" for i in range(50))), [], ServerName("us"))) == candidates.MOST


def test_the_most_specific_refusal_is_told_and_all_are_named() -> None:
    refused = candidates.verdict(
        [
            Failure(ServerName("down"), 0, "", "cannot be reached"),
            Failure(ServerName("strict"), 403, "M_FORBIDDEN", "M_FORBIDDEN: You are not invited"),
            Failure(ServerName("gone"), 404, "M_NOT_FOUND", "M_NOT_FOUND: No such room"),
        ]
    )
    assert (refused.status, refused.errcode) == (403, "M_FORBIDDEN")
    assert all(name in refused.sentence for name in ("down", "strict", "gone"))


def test_nobody_to_ask_means_no_such_room() -> None:
    assert candidates.verdict([]).errcode == "M_NOT_FOUND"


@story
async def test_three_dead_candidates_cost_less_than_two_seconds(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    network.silent.add("hole")

    began = network.reactor.seconds()
    good(await bob.post(f"/join/{room}?via=dead&via=hole&via=gone&via=a", {}))
    assert network.reactor.seconds() - began < 2
    assert bob.user_id in good(await alice.get(f"/rooms/{room}/joined_members"))["joined"]


@story
async def test_when_all_fail_the_error_names_each(network: Network) -> None:
    b = network.server("b")
    bob = await b.user("bob")
    reply = await bob.post("/join/!nowhere:gone?via=dead&via=gone", {})
    assert reply.status == 502
    assert "dead" in reply.json["error"] and "gone" in reply.json["error"]


@story
async def test_a_refusal_does_not_end_the_attempt(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    assert c.name == "c"
    # c has never heard of the room and says so.
    good(await bob.post(f"/join/{room}?via=c&via=a", {}))
