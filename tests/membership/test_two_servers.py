"""Membership between servers of ours."""

from twisted.internet.defer import Deferred

from tests.world import Network, good, story


@story
async def test_a_public_room_is_joined_by_alias(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat", "room_alias_name": "tea"}))["room_id"]

    good(await bob.post("/join/%23tea:a", {}))
    members = good(await alice.get(f"/rooms/{room}/joined_members"))["joined"]
    assert set(members) == {alice.user_id, bob.user_id}
    assert set(good(await bob.get(f"/rooms/{room}/joined_members"))["joined"]) == set(members)


@story
async def test_an_invite_crosses_and_is_accepted(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "name": "Tea", "invite": [bob.user_id]}))["room_id"]

    shown = good(await bob.get("/sync"))["rooms"]["invite"][room]["invite_state"]["events"]
    assert {"m.room.create", "m.room.name", "m.room.member"} <= {event["type"] for event in shown}
    good(await bob.post(f"/rooms/{room}/join", {}))
    assert bob.user_id in good(await alice.get(f"/rooms/{room}/joined_members"))["joined"]


@story
async def test_an_invite_is_rejected_and_the_inviter_learns_it(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "invite": [bob.user_id]}))["room_id"]

    before = good(await bob.get("/sync"))["next_batch"]
    good(await bob.post(f"/rooms/{room}/leave", {}))
    assert room in good(await bob.get("/sync", since=before))["rooms"]["leave"]
    assert good(await alice.get(f"/rooms/{room}/state/m.room.member/{bob.user_id}"))["membership"] == "leave"


@story
async def test_a_knock_is_answered_with_an_invite(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room = good(await alice.post("/createRoom", {"initial_state": [rules]}))["room_id"]

    good(await bob.post(f"/knock/{room}?via=a", {"reason": "please"}))
    assert room in good(await bob.get("/sync"))["rooms"]["knock"]
    good(await alice.post(f"/rooms/{room}/invite", {"user_id": bob.user_id}))
    good(await bob.post(f"/rooms/{room}/join", {}))
    assert bob.user_id in good(await alice.get(f"/rooms/{room}/joined_members"))["joined"]


@story
async def test_what_is_said_while_somebody_is_joining_is_not_lost(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]

    # b has sent its join and waits; a has it, and speaks to b at once, before b has the room.
    network.latency = 1.0
    joining = Deferred.fromCoroutine(bob.post(f"/join/{room}?via=a", {}))
    while bob.user_id not in good(await alice.get(f"/rooms/{room}/joined_members"))["joined"]:
        await network.passes(0.1)
    network.latency = 0.0
    sent = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", {"body": "hello", "msgtype": "m.text"}))["event_id"]
    good(await joining)
    await network.passes(5)
    shown = good(await bob.get("/sync"))["rooms"]["join"][room]["timeline"]["events"]
    assert shown[-1]["event_id"] == sent
