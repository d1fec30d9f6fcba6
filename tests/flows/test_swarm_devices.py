"""Every event of a local user in a swarm names the device that it came from, whatever the client says, and whenever it is sent."""

from typing import Any

import pytest

from homeserver.events.identifiers import ServerName
from homeserver.events.swarm.devices import key_of
from homeserver.events.swarm.names import DEVICE, DEVICE_BAN, NO_DEVICE
from homeserver.events.vendor import CLIENT
from homeserver.events.versions import SWARM
from homeserver.settings import Rooms
from homeserver.storage import events
from homeserver.units import Duration
from tests.appservices.rig import bridged
from tests.flows.joining import before, invites, joins, member_event, membership, refusal
from tests.flows.swarming import SWARMS, Swarm, person, swarm
from tests.world import Network, good, story

Said = tuple[str, str, str | None, Any]
DELAY = "org.matrix.msc4140.delay"


async def said(room: Swarm, viewer: str = "alice") -> list[Said]:
    """(type, sender, state key, device) of all events, as the viewer's server has them."""

    def read(txn):
        rows = txn.all("SELECT event_id FROM events WHERE room_id = :room ORDER BY num", room=room.room)
        return [events.get(txn, room.room, event_id).event for (event_id,) in rows]

    found = await room[viewer].home.server.database.read(read)
    return [(one.type, one.sender, one.state_key, one.content.get(DEVICE)) for one in found]


async def device_of(room: Swarm, viewer: str, member: str) -> str:
    """The device that somebody's membership names."""
    member_id = member if member.startswith("@") else room[member].user_id
    return (await room.state(viewer, "m.room.member", member_id))[DEVICE]


@story
async def test_what_one_sends_names_the_device_of_the_token(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    alice, bob = room["alice"], room["bob"]
    tablet = await alice.home.user("alice", "TABLET")
    path = f"/rooms/{room.room}"
    text = good(await tablet.put(f"{path}/send/m.room.message/1", {"msgtype": "m.text", "body": "x", DEVICE: "BOBPHONE"}))["event_id"]
    good(await tablet.put(f"{path}/state/m.room.history_visibility", {"history_visibility": "joined", DEVICE: "nobody's"}))
    good(await tablet.put(f"{path}/redact/{text}/2", {"reason": "y", DEVICE: "BOBPHONE"}))
    good(await tablet.post(f"{path}/redact/{text}", {}))
    await room.settles()
    good(await bob.post(f"{path}/leave", {DEVICE: "TABLET"}))
    await room.settles()
    for viewer in ("alice", "bob"):
        seen = await said(room, viewer)
        assert {device for _, sender, _, device in seen if sender == bob.user_id} == {"BOBPHONE"}
        assert {device for kind, _, _, device in seen if kind in ("m.room.message", "m.room.redaction")} == {"TABLET"}
        assert {device for kind, _, _, device in seen if kind == "m.room.create"} == {"ALICEPHONE"}
    assert [device for kind, *_, device in await said(room) if kind == "m.room.history_visibility"] == ["ALICEPHONE", "TABLET"]


@story
async def test_the_same_state_from_another_device_is_no_new_event(network: Network) -> None:
    room = await swarm(network, "alice")
    tablet = await room["alice"].home.user("alice", "TABLET")
    path = f"/rooms/{room.room}"
    first = good(await room["alice"].put(f"{path}/state/m.room.pinned_events", {"pinned": ["$x"]}))
    assert good(await tablet.put(f"{path}/state/m.room.pinned_events", {"pinned": ["$x"], DEVICE: "z"})) == first
    good(await tablet.post(f"/join/{room.room}", {}))
    assert await device_of(room, "alice", "alice") == "ALICEPHONE"


@story
async def test_a_new_name_reaches_the_room_from_the_device_that_changed_it(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    tablet = await room["bob"].home.user("bob", "TABLET")
    good(await tablet.put(f"/profile/{tablet.user_id}/displayname", {"displayname": "Bob"}))
    await room.settles()
    assert (await room.state("alice", "m.room.member", tablet.user_id))["displayname"] == "Bob"
    assert await device_of(room, "alice", "bob") == "TABLET"
    # The operator has no device of Bob's: rooms that want one keep the name that they know.
    operator = await room["bob"].home.user("root", admin=True)
    good(await operator.put(f"/profile/{tablet.user_id}/displayname", {"displayname": "Robert"}))
    await room.settles()
    assert (await room.state("alice", "m.room.member", tablet.user_id))["displayname"] == "Bob"


@story
async def test_what_is_sent_later_names_the_device_that_asked_for_it(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    path, message = f"/rooms/{room.room}", {"msgtype": "m.text", "body": "later"}
    good(await room["bob"].put(f"{path}/send/m.room.message/1", message, **{DELAY: 5000}))
    tablet = await room["alice"].home.user("alice", "TABLET")
    good(await tablet.put(f"{path}/state/m.room.name", {"name": "Later"}, **{DELAY: 5000}))
    network.restart(room["bob"].home)
    await room.settles(10)
    seen = await said(room)
    assert ("m.room.message", room["bob"].user_id, None, "BOBPHONE") in seen
    assert [device for kind, *_, device in seen if kind in ("m.room.name", "org.homeserver.profile")] == ["TABLET", "TABLET"]


@story
async def test_who_is_invited_and_joins_is_named_with_the_devices_of_both(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    carla, dora = await person(network, "carla"), await room["alice"].home.user("dora", "DORAPAD")
    room.people |= {"carla": carla, "dora": dora}
    for who in (carla, dora):
        good(await room["bob"].put(f"/rooms/{room.room}/state/m.room.member/{who.user_id}", {"membership": "invite"}))
    await room.settles()
    assert await device_of(room, "alice", "carla") == await device_of(room, "alice", "dora") == "BOBPHONE"
    for who in (carla, dora):
        await joins(who, room.room, "b")
    await room.settles()
    assert await device_of(room, "bob", "carla") == "CARLAPHONE" and await device_of(room, "bob", "dora") == "DORAPAD"


@story
async def test_who_has_a_link_is_let_in_by_the_device_that_made_it(network: Network) -> None:
    room = await swarm(network, "alice")
    tablet = await room["alice"].home.user("alice", "TABLET")
    carla = room.people["carla"] = await person(network, "carla")
    made = good(await tablet.post(f"{CLIENT}/rooms/{room.room}/links", {"approval": False, "key_custody": False}))
    followed = good(await carla.post(f"{CLIENT}/follow_link", {"server": made["server"], "token": made["token"]}))
    assert followed["status"] == "joined"
    await room.settles()
    by = [(sender, device) for kind, sender, key, device in await said(room) if key == carla.user_id]
    assert by == [(tablet.user_id, "TABLET"), (carla.user_id, "CARLAPHONE")]


@pytest.mark.parametrize("there", ["a", "c"])
@story
async def test_an_invite_expires_in_the_name_of_the_device_that_sent_it(network: Network, there: str) -> None:
    network.server("a", rooms=Rooms(invite_lifetime=Duration(60_000)))
    room = await swarm(network, "alice", "bob")
    home = network.servers.get(there) or network.server(there)
    carla = room.people["carla"] = await home.user("carla", "CARLAPHONE")
    tablet = await room["alice"].home.user("alice", "TABLET")
    good(await invites(tablet, room.room, carla))
    await room.settles(120)
    by = [(sender, device) for kind, sender, key, device in await said(room, "bob") if key == carla.user_id]
    assert by == [(tablet.user_id, "TABLET"), (tablet.user_id, "TABLET")]
    assert await room.standing("bob", "carla") == "leave"


@story
async def test_an_invite_of_somebody_who_left_is_ended_by_nobody_else(network: Network) -> None:
    network.server("a", rooms=Rooms(invite_lifetime=Duration(60_000)))
    room = await swarm(network, "alice", "bob")
    aron = room.people["aron"] = await room["alice"].home.user("aron", "ARONPHONE")
    good(await invites(room["alice"], room.room, aron))
    await joins(aron, room.room)
    carla = room.people["carla"] = await person(network, "carla")
    good(await invites(aron, room.room, carla))
    good(await aron.post(f"/rooms/{room.room}/leave"))
    await room.settles(120)
    assert await room.standing("bob", "carla") == "invite"


@story
async def test_an_invite_is_declined_through_another_server_from_the_device_that_declined_it(network: Network) -> None:
    room = await swarm(network, "alice")
    carla = room.people["carla"] = await person(network, "carla")
    good(await invites(room["alice"], room.room, carla))
    good(await carla.post(f"/rooms/{room.room}/leave"))
    await room.settles()
    assert await room.standing("alice", "carla") == "leave" and await device_of(room, "alice", "carla") == "CARLAPHONE"
    # And where nobody can be told, here alone.
    good(await invites(room["alice"], room.room, carla))
    room.goes_down("alice")
    good(await carla.post(f"/rooms/{room.room}/leave"))
    assert await membership(carla, room.room, carla) == "leave"


@story
async def test_who_has_no_device_can_only_leave(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    operator = await room["bob"].home.user("root", "ROOT", admin=True)
    good(await operator.post("/_synapse/admin/v1/deactivate/" + room["bob"].user_id, {}))
    await room.settles(5)
    assert (await room.state("alice", "m.room.member", room["bob"].user_id))["membership"] == "leave"
    assert await device_of(room, "alice", "bob") == NO_DEVICE


@story
async def test_an_operator_does_nothing_in_a_users_name_but_leave(network: Network) -> None:
    room = await swarm(network, "alice", "bob", mode=3)
    dora = room.people["dora"] = await room["bob"].home.user("dora", "DORAPAD")
    operator = await room["bob"].home.user("root", "ROOT", admin=True)
    refused = await operator.post(f"/_synapse/admin/v1/join/{room.room}", {"user_id": dora.user_id})
    assert refused.status == 400 and "device" in refused.json["error"]
    assert (await operator.post(f"/_synapse/admin/v1/rooms/{room.room}/make_room_admin", {"user_id": dora.user_id})).status in (400, 403)
    good(await operator.delete(f"/_synapse/admin/v1/rooms/{room.room}", {}))
    await room.settles(5)
    assert await room.standing("alice", "bob") == "leave" and await device_of(room, "alice", "bob") == NO_DEVICE


@story
async def test_users_of_application_services_have_no_device(network: Network) -> None:
    bridge = bridged(network)
    ghost = await bridge.ghost("irc_bob")
    wanted = {"room_version": SWARM.id}
    refused = await ghost.post("/createRoom", wanted)
    assert (refused.status, refused.json["errcode"]) == (400, "M_BAD_JSON") and "device" in refused.json["error"]
    alice = await bridge.home.user("alice")
    room = good(await alice.post("/createRoom", {**wanted, "creation_content": {"mode": 3}}))["room_id"]
    refused = await ghost.post(f"/join/{room}", {})
    assert (refused.status, refused.json["errcode"]) == (400, "M_BAD_JSON")
    good(await alice.post(f"/rooms/{room}/invite", {"user_id": ghost.user_id}))
    refused = await ghost.post(f"{SWARMS}/requests/{room}/accept", {})
    assert refused.status == 400 and "device" in refused.json["error"]
    good(await ghost.post(f"/rooms/{room}/leave", {}))


# --- the way through other servers

@story
async def test_a_resident_is_told_the_device_only_where_it_may_need_it(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    assert [path for *_, path in network.log if "make_join" in path and f"{DEVICE}=BOBPHONE" in path]
    network.log.clear()
    old = good(await room["alice"].post("/createRoom", {"preset": "public_chat", "room_version": "11"}))["room_id"]
    await joins(room["bob"], old, "a")
    assert not [path for *_, path in network.log if DEVICE in path]


@story
async def test_a_template_without_a_device_is_refused(network: Network) -> None:
    room = await swarm(network, "alice", mode=3)
    bob = await person(network, "bob")
    ask = bob.home.server.federation.peers.make_join
    with pytest.raises(Exception, match="device"):
        await ask(ServerName("a"), room.room, bob.user_id, [SWARM.id])
    with pytest.raises(Exception, match="M_INCOMPATIBLE_ROOM_VERSION"):
        await ask(ServerName("a"), room.room, bob.user_id, ["12"], "BOBPHONE")


@story
async def test_a_server_that_does_not_know_the_version_says_so_and_nobody_there_is_invited(network: Network) -> None:
    room = await swarm(network, "alice")
    carla = room.people["carla"] = await person(network, "carla")
    unknown = refusal(400, "M_INCOMPATIBLE_ROOM_VERSION", "what is that?")
    before(network, carla.home, lambda request: unknown if "/invite/" in request.path else None)
    reply = await invites(room["alice"], room.room, carla)
    assert (reply.status, reply.json["errcode"]) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert await room.standing("alice", "carla") in (None, "leave")


@story
async def test_a_banned_device_gets_in_nowhere_and_the_others_of_its_user_do(network: Network) -> None:
    room = await swarm(network, "alice", "bob", mode=3)
    bob, tablet = room["bob"], await room["bob"].home.user("bob", "TABLET")

    async def votes(action: str) -> None:
        motion = {"action": action, "kind": "device", "target": bob.user_id, "target_device": "BOBPHONE"}
        assert good(await room["alice"].put(f"{room.path}/votes", motion))["passed"]
        await room.settles()

    await votes("ban")
    assert (await room.says("bob", "let me")).status == 403
    assert (await bob.post(f"/rooms/{room.room}/leave")).status == 403
    good(await tablet.post(f"/rooms/{room.room}/leave"))
    await room.settles()
    refused = await bob.post(f"/join/{room.room}", {}, via=["a"])
    assert refused.status == 403 and "BOBPHONE" in refused.json["error"]
    await joins(tablet, room.room, "a")
    good(await tablet.post(f"/rooms/{room.room}/leave"))
    await room.settles()
    await votes("unban")
    await joins(bob, room.room, "a")
    event = await member_event(room["alice"], room.room, bob)
    ban = await room.state("alice", DEVICE_BAN, key_of(bob.user_id, "BOBPHONE")[1])
    assert ban["banned"] is False

    def cited(txn):
        return {events.get(txn, room.room, one).event.type for one in event.auth_events}

    assert DEVICE_BAN in await room["alice"].home.server.database.read(cited), "what was decided about a device is cited by its events"
