"""Knocking, and what becomes of it.  FLOWS: "Knock".

Both notes of the source are heard: who does not ask for it is simply offered the invite; and a join that nobody made by hand says so.
"""

import pytest

from tests.flows.joining import invites, membership, room_of, settled
from tests.world import Client, Network, good, story

KNOCK = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
WISH = "org.homeserver.knock"


async def wishes(who: Client, auto_join: object = True) -> None:
    good(await who.put(f"/user/{who.user_id}/account_data/{WISH}", {"auto_join": auto_join}))


async def pair(network: Network, where: str) -> tuple[Client, Client]:
    """Alice with a room that can be knocked at, and Bob, on the same server or on another."""
    a = network.server("a")
    b = a if where == "here" else network.server("b")
    return await a.user("alice"), await b.user("bob")


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@story
async def test_a_knock_informs_the_members_and_any_with_the_power_to_invite_may_invite(network: Network, where: str) -> None:
    alice, bob = await pair(network, where)
    ann = await alice.home.user("ann")
    room = await room_of(alice, ann, initial_state=[KNOCK])
    good(await ann.post(f"/join/{room}"))
    good(await bob.post(f"/knock/{room}", {"reason": "please"}, via=["a"]))
    await settled(network)
    for member in (alice, ann):
        timeline = good(await member.get("/sync"))["rooms"]["join"][room]["timeline"]["events"]
        assert timeline[-1]["content"]["membership"] == "knock" and timeline[-1]["content"]["reason"] == "please"
    good(await invites(ann, room, bob))
    assert await membership(bob, room, bob) == "invite"


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@story
async def test_who_did_not_ask_for_it_is_offered_the_invite_as_normal(network: Network, where: str) -> None:
    alice, bob = await pair(network, where)
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    good(await invites(alice, room, bob))
    await settled(network, 300)
    assert await membership(alice, room, bob) == await membership(bob, room, bob) == "invite"


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@story
async def test_who_asked_for_it_joins_at_once_and_the_join_says_that_nobody_made_it_by_hand(network: Network, where: str) -> None:
    alice, bob = await pair(network, where)
    await wishes(bob)
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    good(await invites(alice, room, bob))
    await settled(network, 1)
    assert await membership(alice, room, bob) == await membership(bob, room, bob) == "join"
    joined = good(await alice.get(f"/rooms/{room}/state/m.room.member/{bob.user_id}"))
    assert joined["org.homeserver.auto_join"] is True and joined["displayname"] == "bob"


@story
async def test_an_invite_without_a_knock_is_never_accepted_for_somebody(network: Network) -> None:
    alice, bob = await pair(network, "elsewhere")
    await wishes(bob)
    room = await room_of(alice, bob)
    await settled(network, 300)
    assert await membership(alice, room, bob) == "invite"


@pytest.mark.parametrize("wish", [False, "yes", 1, None])
@story
async def test_only_true_is_true(network: Network, wish: object) -> None:
    alice, bob = await pair(network, "here")
    await wishes(bob, wish)
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}))
    good(await invites(alice, room, bob))
    await settled(network, 60)
    assert await membership(alice, room, bob) == "invite"


@story
async def test_a_join_that_does_not_work_at_once_is_tried_again_and_survives_a_restart(network: Network) -> None:
    alice, bob = await pair(network, "elsewhere")
    await wishes(bob)
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    await bob.home.server.entering.due.work.stop()
    good(await invites(alice, room, bob))
    network.down.add("a")
    again = network.restart(bob.home)
    await settled(network, 30)
    assert await membership(bob, room, bob) == "invite"
    network.down.clear()
    await settled(network, 600)
    assert await membership(alice, room, bob) == "join"
    await again.server.entering.due.work.stop()


@story
async def test_a_suspended_user_does_not_join(network: Network) -> None:
    alice, bob = await pair(network, "elsewhere")
    await wishes(bob)
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    await bob.home.server.database.write(lambda txn: txn.run("UPDATE accounts SET suspended = 1"))
    good(await invites(alice, room, bob))
    await settled(network, 300)
    assert await membership(alice, room, bob) == "invite"


@story
async def test_a_room_that_cannot_be_knocked_at_says_403_as_does_one_that_never_was(network: Network) -> None:
    alice, bob = await pair(network, "here")
    room = await room_of(alice)
    told = [await bob.post(f"/knock/{one}", {}) for one in (room, "!" + "x" * (len(room) - 1))]
    assert told[0].status == told[1].status == 403 and told[0].json == told[1].json


@story
async def test_a_knock_that_is_turned_down_is_heard_of(network: Network) -> None:
    alice, bob = await pair(network, "elsewhere")
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    since = good(await bob.get("/sync"))["next_batch"]
    good(await alice.post(f"/rooms/{room}/kick", {"user_id": bob.user_id}))
    await settled(network)
    assert room in good(await bob.get("/sync", since=since))["rooms"]["leave"]
