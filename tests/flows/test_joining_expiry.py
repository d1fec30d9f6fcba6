"""Invites and knocks that nobody answers end by themselves.  FLOWS: "Expiry"."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.clock import Clock
from homeserver.events.lifetimes import LONGEST, Lifetimes
from homeserver.membership.pending import GRACE_MS
from homeserver.settings import Duration, Rooms
from tests.flows.joining import before, invites, joins, member_event, membership, refusal, room_of, settled
from tests.world import Client, Home, Network, good, story

LIFE = 600  # seconds
EXPIRY = "org.homeserver.expiry"
KNOCK = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
SHORT = Rooms(invite_lifetime=Duration.parse("10m"), knock_lifetime=Duration.parse("20m"))


async def says(owner: Client, room: str, **content: Any) -> None:
    good(await owner.put(f"/rooms/{room}/state/{EXPIRY}", content))


async def pending(home: Home) -> int:
    return int(await home.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM pending_members")))


def test_a_room_says_otherwise_only_in_whole_milliseconds() -> None:
    default = Lifetimes(1000, None)
    assert default.overridden(None) == default.overridden({}) == default
    assert default.overridden({"invite_ms": 5, "knock_ms": 7}) == Lifetimes(5, 7)
    assert default.overridden({"invite_ms": 0}) == Lifetimes(None, None)
    for nonsense in (-1, True, 1.5, "5", None, [], {}):
        assert default.overridden({"invite_ms": nonsense}) == default
    assert default.overridden({"invite_ms": 2**53 - 1}).invite_ms == LONGEST


@story
async def test_by_default_nothing_expires(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, ann = await a.user("alice"), await b.user("bob"), await a.user("ann")
    room = await room_of(alice, bob, ann)
    await settled(network, 2 * LIFE)
    assert await membership(alice, room, bob) == await membership(bob, room, bob) == await membership(alice, room, ann) == "invite"


@story
async def test_the_servers_default_ends_an_invite_in_the_name_of_the_inviter(network: Network) -> None:
    a, b = network.server("a", rooms=SHORT), network.server("b")
    alice, bob, ann = await a.user("alice"), await b.user("bob"), await a.user("ann")
    room = await room_of(alice, bob, ann)
    since = good(await bob.get("/sync"))["next_batch"]
    await settled(network, LIFE - 60)
    assert await membership(alice, room, bob) == "invite"
    await settled(network, 120)
    # In the room, and on the invitee's server, which was never in it.
    for who in (bob, ann):
        left = await member_event(alice, room, who)
        assert (left.membership, left.sender, left.content["reason"]) == ("leave", alice.user_id, "The invite has expired")
    assert await membership(bob, room, bob) == "leave"
    assert room in good(await bob.get("/sync", since=since))["rooms"]["leave"]
    assert await pending(a) == await pending(b) == 0


@story
async def test_a_room_overrides_it_both_ways_and_for_invites_that_stand_already(network: Network) -> None:
    a = network.server("a", rooms=SHORT)
    alice, ann, bea = await a.user("alice"), await a.user("ann"), await a.user("bea")
    short, long, usual = [await room_of(alice, ann) for _ in range(3)]
    await says(alice, short, invite_ms=60_000)
    await says(alice, long, invite_ms=0)
    await settled(network, 30)
    good(await invites(alice, short, bea))
    await settled(network, 35)
    assert await membership(alice, short, ann) == "leave" and await membership(alice, short, bea) == "invite"
    await settled(network, 35)
    assert await membership(alice, short, bea) == "leave"
    assert await membership(alice, usual, ann) == "invite"
    await settled(network, LIFE)
    assert await membership(alice, usual, ann) == "leave" and await membership(alice, long, ann) == "invite"


@story
async def test_another_local_member_with_the_power_to_kick_does_it_where_the_inviter_has_none(network: Network) -> None:
    a, b = network.server("a", rooms=SHORT), network.server("b")
    alice, ann, bob = await a.user("alice"), await a.user("ann"), await b.user("bob")
    room = await room_of(alice, ann)
    await joins(ann, room)
    good(await invites(ann, room, bob))
    await settled(network, LIFE + 60)
    assert (await member_event(alice, room, bob)).sender == alice.user_id
    # Bob's server believes it of the inviter's server, whoever there wrote it.
    assert await membership(bob, room, bob) == "leave"


@story
async def test_an_inviter_who_has_left_changes_nothing(network: Network) -> None:
    a, b = network.server("a", rooms=SHORT), network.server("b")
    alice, ann, bob = await a.user("alice"), await a.user("ann"), await b.user("bob")
    room = await room_of(alice, ann)
    await joins(ann, room)
    good(await invites(ann, room, bob))
    good(await ann.post(f"/rooms/{room}/leave"))
    await settled(network, LIFE + 60)
    assert (await member_event(alice, room, bob)).sender == alice.user_id


async def powerless(network: Network, **settings: Any) -> tuple[Client, Client, Client, str]:
    """Carol of c is in Alice's room without the power to kick, and invites Bob of b."""
    a, b, c = network.server("a"), network.server("b", **settings), network.server("c", rooms=SHORT)
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await room_of(alice, carol)
    await joins(carol, room)
    await settled(network)
    good(await invites(carol, room, bob))
    await settled(network)
    return alice, bob, carol, room


@story
async def test_where_nobody_here_has_that_power_the_invite_stands(network: Network) -> None:
    alice, bob, carol, room = await powerless(network)
    await settled(network, 3 * LIFE)
    assert await membership(alice, room, bob) == await membership(carol, room, bob) == await membership(bob, room, bob) == "invite"


@story
async def test_and_the_invitees_server_rejects_it_after_its_own_clock(network: Network) -> None:
    alice, bob, carol, room = await powerless(network, rooms=SHORT)
    await settled(network, LIFE - 60)
    assert await membership(bob, room, bob) == "invite"
    await settled(network, GRACE_MS / 1000 + 120)
    for viewer in (alice, bob, carol):
        assert (await member_event(viewer, room, bob)).sender == bob.user_id
        assert await membership(viewer, room, bob) == "leave"
    assert await pending(bob.home) == 0


@story
async def test_the_invitees_server_knows_what_the_room_says(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice)
    await says(alice, room, invite_ms=60_000)
    good(await invites(alice, room, bob))
    network.down.add("a")
    await a.server.entering.due.work.stop()
    await settled(network, 60 + GRACE_MS / 1000 + 60)
    # Nobody else answers: the rejection holds on the invitee's server, and only there.
    assert await membership(bob, room, bob) == "leave"
    assert await membership(alice, room, bob) == "invite"


@story
async def test_the_clocks_of_other_servers_are_never_trusted(network: Network) -> None:
    a, b = network.server("a"), network.server("b", rooms=SHORT)
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice)
    # An invite that says it is a week old, or from tomorrow, lives exactly as long as any other.
    for hours in (-7 * 24, 12):
        skewed = Clock(network.reactor, network.clock.epoch_ms + hours * 3600_000)
        object.__setattr__(a.server.rooms.timeline, "clock", skewed)
        good(await invites(alice, room, bob))
        assert abs((await member_event(bob, room, bob)).origin_server_ts - network.clock.now()) > 11 * 3600_000
        await settled(network, LIFE - 60)
        assert await membership(bob, room, bob) == "invite"
        await settled(network, 60 + GRACE_MS / 1000 + 60)
        assert await membership(bob, room, bob) == "leave"


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@story
async def test_an_expired_knock_is_withdrawn_by_the_knockers_server_with_a_leave(network: Network, where: str) -> None:
    a, b = network.server("a", rooms=SHORT), network.server("b", rooms=SHORT)
    alice, bob = await a.user("alice"), await (a if where == "here" else b).user("bob")
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    await settled(network, 1.5 * LIFE)
    assert await membership(alice, room, bob) == "knock"
    await settled(network, LIFE / 2 + 60)
    left = await member_event(alice, room, bob)
    assert (left.membership, left.sender, left.content["reason"]) == ("leave", bob.user_id, "The knock has expired")
    assert await membership(bob, room, bob) == "leave"


@story
async def test_a_knock_at_a_server_with_other_settings_stands(network: Network) -> None:
    a, b = network.server("a", rooms=SHORT), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    await settled(network, 3 * LIFE)
    assert await membership(alice, room, bob) == "knock"


@story
async def test_what_was_answered_does_not_expire(network: Network) -> None:
    a, b = network.server("a", rooms=SHORT), network.server("b", rooms=SHORT)
    alice, bob, ann = await a.user("alice"), await b.user("bob"), await a.user("ann")
    room = await room_of(alice, bob, ann)
    await settled(network, LIFE - 60)
    await joins(bob, room)
    await joins(ann, room)
    assert await pending(a) == await pending(b) == 0
    await settled(network, 300)
    assert await membership(alice, room, bob) == await membership(alice, room, ann) == await membership(bob, room, bob) == "join"


@story
async def test_a_new_invite_counts_anew(network: Network) -> None:
    a = network.server("a", rooms=SHORT)
    alice, ann = await a.user("alice"), await a.user("ann")
    room = await room_of(alice, ann)
    await settled(network, LIFE / 2)
    good(await alice.post(f"/rooms/{room}/kick", {"user_id": ann.user_id}))
    good(await invites(alice, room, ann))
    await settled(network, LIFE / 2 + 60)
    assert await membership(alice, room, ann) == "invite"
    await settled(network, LIFE / 2)
    assert await membership(alice, room, ann) == "leave"


@story
async def test_it_survives_restarts_and_a_changed_setting_holds_for_what_stands(network: Network) -> None:
    a = network.server("a")
    alice, ann = await a.user("alice"), await a.user("ann")
    room = await room_of(alice, ann)
    await a.server.entering.due.work.stop()
    await settled(network, LIFE / 2)
    object.__setattr__(a.server, "settings", replace(a.server.settings, rooms=SHORT))
    again = network.restart(a)
    await settled(network, 60)
    assert await membership(alice, room, ann) == "invite"
    await again.server.entering.due.work.stop()
    await settled(network, LIFE / 2)
    last = network.restart(again)
    await settled(network, 10)
    assert await membership(alice, room, ann) == "leave"
    await last.server.entering.due.work.stop()


@story
async def test_an_end_that_others_do_not_take_holds_here(network: Network) -> None:
    a, b = network.server("a"), network.server("b", rooms=SHORT)
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice, initial_state=[KNOCK])
    good(await bob.post(f"/knock/{room}", {}, via=["a"]))
    between = before(network, a, lambda request: refusal(500, "M_UNKNOWN") if "_leave" in request.path else None)
    await settled(network, 2 * LIFE + 60)
    # Nobody has to stay at a door because others do not answer.
    assert await membership(bob, room, bob) == "leave"
    assert sum("make_leave" in path for path in between.asked) == 1
