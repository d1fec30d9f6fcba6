"""An invite, its proof, and the join that cites it.  FLOWS: "Invite", "Accepting"."""

import orjson
import pytest

from homeserver.events import signing
from homeserver.federation.failures import Answered
from homeserver.settings import Rate, RateLimits
from homeserver.storage import events as stored_events
from homeserver.storage import members
from homeserver.storage.events import Status
from tests.flows.joining import before, closes, invites, joins, member_event, membership, open_room, refusal, room_of, settled
from tests.world import Client, Network, good, story


def proofs(network: Network, to: str) -> list[str]:
    return [path for _, other, method, path in network.log if other == to and "prove_invite" in path and method == "POST"]


def made(network: Network, to: str) -> list[str]:
    return [path for _, other, _, path in network.log if other == to and "/make_join/" in path]


@story
async def test_the_invited_users_server_keeps_the_signed_invite_the_candidates_and_what_the_room_looks_like(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol, chris = await a.user("alice"), await b.user("bob"), await c.user("carol"), await c.user("chris")
    room = await open_room(alice, carol, chris, name="Tea")
    good(await invites(alice, room, bob))

    kept = await b.server.database.read(members.invitation, room, bob.user_id)
    assert kept is not None and kept.event is not None
    invite = orjson.loads(kept.event)
    assert {"a", "b"} == set(invite["signatures"])
    assert kept.candidates == ["a", "c"]
    shown = good(await bob.get("/sync"))["rooms"]["invite"][room]["invite_state"]["events"]
    assert {"m.room.create", "m.room.name", "m.room.member"} <= {event["type"] for event in shown}
    # And it is a state event in the room like any other.
    assert (await member_event(alice, room, bob)).event_id == (await member_event(carol, room, bob)).event_id


@story
async def test_further_candidates_are_those_the_specification_recommends_for_via(network: Network) -> None:
    a, b, c, d, e = (network.server(name) for name in "abcde")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    crowd = [await d.user(f"d{number}") for number in range(3)]
    room = await open_room(alice, carol, *crowd, await e.user("eve"), room_version="11")
    levels = {"users": {carol.user_id: 100, alice.user_id: 90}}
    good(await alice.put(f"/rooms/{room}/state/m.room.power_levels", levels))
    good(await carol.put(f"/rooms/{room}/state/m.room.server_acl", {"allow": ["*"], "deny": ["e"]}))
    await settled(network)
    good(await invites(alice, room, bob))
    kept = await b.server.database.read(members.invitation, room, bob.user_id)
    # The inviter's first; then the server of the most powerful, then the fullest; none that the ACL denies.
    assert kept is not None and kept.candidates == ["a", "c", "d"]


@story
async def test_the_join_goes_through_a_further_candidate_when_the_inviters_server_is_gone(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await closes(alice, room)
    good(await invites(alice, room, bob))
    await settled(network)
    network.down.add("a")
    await joins(bob, room)
    assert await membership(carol, room, bob) == "join"


@story
async def test_the_join_cites_the_invite(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice, bob)
    invite = await member_event(alice, room, bob)
    await joins(bob, room)
    assert invite.event_id in (await member_event(alice, room, bob)).auth_events


async def unheard(network: Network) -> tuple[Client, Client, Client, str]:
    """Alice of a has invited Bob of b; c, where Carol is, has not heard of it, and a is gone.  What a has to tell is kept from c."""
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await closes(alice, room)
    await settled(network)
    before(network, c, lambda request: refusal(500, "M_UNKNOWN") if "/send/" in request.path else None)
    good(await invites(alice, room, bob))
    await settled(network, 1)
    assert await membership(carol, room, bob) is None
    network.down.add("a")
    return alice, bob, carol, room


@story
async def test_a_candidate_that_has_not_seen_the_invite_lets_the_join_pass_by_its_proof(network: Network) -> None:
    _, bob, carol, room = await unheard(network)
    await joins(bob, room, "c")
    assert await membership(carol, room, bob) == "join"
    assert len(proofs(network, "c")) == len(made(network, "c")) == 1
    # The invite is an event of the room now, and the join follows it.
    join = await member_event(carol, room, bob)
    [invite] = [event for event in join.auth_events if event in join.prev_events]
    found = await carol.home.server.database.read(stored_events.get, room, invite)
    assert found is not None and found.status == Status.ACCEPTED and found.event.membership == "invite"


@story
async def test_without_the_proof_it_would_not_have_let_him_in(network: Network) -> None:
    _, bob, carol, room = await unheard(network)
    with pytest.raises(Answered) as caught:
        await bob.home.server.federation.peers.make_join(carol.home.name, room, bob.user_id, ["12"])
    assert (caught.value.status, caught.value.errcode) == (404, "M_NOT_FOUND")


@story
async def test_what_the_invite_follows_is_fetched(network: Network) -> None:
    a, b, c, d = (network.server(name) for name in "abcd")
    alice, bob, carol, dan = await a.user("alice"), await b.user("bob"), await c.user("carol"), await d.user("dan")
    room = await open_room(alice, carol, dan)
    await closes(alice, room)
    await settled(network)
    before(network, c, lambda request: refusal(500, "M_UNKNOWN") if "/send/" in request.path else None)
    for number in range(3):
        good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", {"body": "unheard", "msgtype": "m.text"}))
    good(await invites(alice, room, bob))
    await settled(network)
    network.down.add("a")
    # Dan's server has all of it.
    await joins(bob, room, "c")
    assert await membership(carol, room, bob) == "join"
    said = good(await carol.get(f"/rooms/{room}/messages", dir="b", limit=20))["chunk"]
    assert [event["content"].get("body") for event in said].count("unheard") == 3


@story
async def test_a_forged_proof_does_not_let_the_join_pass(network: Network) -> None:
    _, bob, carol, room = await unheard(network)
    ben = await bob.home.user("ben")
    peers, invite = bob.home.server.federation.peers, await member_event(bob, room, bob)
    forgeries = [
        {**invite.data, "state_key": ben.user_id},
        {**invite.data, "signatures": {"b": invite.data["signatures"]["b"]}},
        {**invite.data, "content": {"membership": "join"}},
        {**invite.data, "sender": carol.user_id},
    ]
    for forged in forgeries:
        with pytest.raises(Answered):
            await peers.prove_invite(carol.home.name, room, invite.event_id, invite.version.id, forged)
    assert await membership(carol, room, bob) is None and await membership(carol, room, ben) is None
    assert (await ben.post(f"/join/{room}", {}, via=["c"])).status == 404


@story
async def test_who_is_not_in_the_room_proves_nothing_and_learns_nothing(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, ben = await a.user("alice"), await b.user("bob"), await b.user("ben")
    hidden, own = await room_of(alice), await room_of(bob, ben)
    invite = await member_event(bob, own, ben)
    told = []
    for room in (hidden, "!" + "x" * (len(hidden) - 1)):
        data = {key: value for key, value in invite.data.items() if key not in ("signatures", "hashes")} | {"room_id": room}
        signed = b.server.identity.sign_event(invite.version, signing.add_hash(invite.version, data))
        event_id = signing.reference_id(invite.version, signed)
        with pytest.raises(Answered) as caught:
            await b.server.federation.peers.prove_invite(a.name, room, event_id, invite.version.id, signed)
        told.append((caught.value.status, caught.value.errcode, caught.value.message))
    assert told[0] == told[1] == (404, "M_NOT_FOUND", "No such room")
    assert await a.server.database.read(members.get, hidden, ben.user_id) is None


@pytest.mark.parametrize("end", ["revoked", "rejected", "used"])
@story
async def test_an_invite_that_the_candidate_knows_to_be_over_proves_nothing(network: Network, end: str) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await closes(alice, room)
    good(await invites(alice, room, bob))
    invite = await member_event(bob, room, bob)
    if end == "revoked":
        good(await alice.post(f"/rooms/{room}/kick", {"user_id": bob.user_id}))
    elif end == "rejected":
        good(await bob.post(f"/rooms/{room}/leave"))
    else:
        await joins(bob, room)
        good(await bob.post(f"/rooms/{room}/leave"))
    await settled(network)
    assert await membership(carol, room, bob) == "leave"
    peers = b.server.federation.peers
    with pytest.raises(Answered) as caught:
        await peers.prove_invite(c.name, room, invite.event_id, invite.version.id, invite.data)
    assert caught.value.status == 403
    with pytest.raises(Answered) as caught:
        await peers.make_join(c.name, room, bob.user_id, ["12"])
    assert caught.value.status == 403


@story
async def test_it_proves_nothing_either_where_only_the_end_was_heard_of(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await open_room(alice, carol)
    await closes(alice, room)
    await settled(network)
    network.down.add("c")
    good(await invites(alice, room, bob))
    invite = await member_event(bob, room, bob)
    good(await alice.post(f"/rooms/{room}/kick", {"user_id": bob.user_id}))
    await settled(network)
    network.down.clear()
    await settled(network, 300)
    assert await membership(carol, room, bob) == "leave"
    with pytest.raises(Answered) as caught:
        await b.server.federation.peers.prove_invite(c.name, room, invite.event_id, invite.version.id, invite.data)
    assert caught.value.status == 403
    assert await membership(carol, room, bob) == "leave"


@story
async def test_a_candidate_that_knows_no_proofs_is_simply_asked(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice, bob)
    plain = before(network, a, lambda request: refusal(404, "M_UNRECOGNIZED") if "org.homeserver" in request.path else None)
    await joins(bob, room)
    kinds = [path.split("/")[4 if "unstable" not in path else 5] for path in plain.asked if "_join" in path or "prove" in path]
    assert kinds == ["prove_invite", "make_join", "send_join"]


@story
async def test_proofs_are_advertised(network: Network) -> None:
    a = network.server("a")
    features = good(await a.stranger().get("/_matrix/client/versions"))["unstable_features"]
    assert features["org.homeserver.invite_proof"] is True


@story
async def test_invites_and_proofs_are_limited(network: Network) -> None:
    a = network.server("a", rate_limits=RateLimits(rates={"federation": Rate(0.01, 3)}))
    b = network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice)
    told = [(await alice.post(f"/rooms/{room}/invite", {"user_id": f"@n{number}:a"})).status for number in range(25)]
    assert told[:20] == [200] * 20 and 429 in told[20:]
    peers, refused = b.server.federation.peers, []
    for _ in range(5):
        with pytest.raises(Answered) as caught:
            await peers.prove_invite(a.name, room, "$x", "12", {"type": "m.room.member", "state_key": bob.user_id})
        refused.append(caught.value.status)
    assert refused[:3] != [429] * 3 and refused[-1] == 429


@story
async def test_members_are_counted_right_after_a_join_by_invite_and_after_another(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, ann = await a.user("alice"), await b.user("bob"), await a.user("ann")
    room = await room_of(alice, bob, ann)
    for _ in range(2):
        await joins(bob, room)
        summary = good(await bob.get("/sync"))["rooms"]["join"][room]["summary"]
        assert (summary["m.joined_member_count"], summary["m.invited_member_count"]) == (2, 1)
        good(await bob.post(f"/rooms/{room}/leave"))
        await settled(network)
        good(await invites(alice, room, bob))
        await settled(network)
