"""What application services are told: what concerns them, in order, once taken never again."""

from tests.appservices.rig import bridged
from tests.world import Network, good, story


async def say(who, room, text):
    return good(await who.put(f"/rooms/{room}/send/m.room.message/{text}", {"msgtype": "m.text", "body": text}))


async def portal(bridge, alice, **more):
    """A room of alice with a ghost in it."""
    ghost = await bridge.ghost("irc_bob")
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "invite": [ghost.user_id], **more}))["room_id"]
    good(await ghost.post(f"/join/{room}"))
    return ghost, room


@story
async def test_a_service_hears_what_happens_where_its_users_are_and_nothing_else(network: Network) -> None:
    bridge = bridged(network)
    alice = await bridge.home.user("alice")
    other = good(await alice.post("/createRoom", {}))["room_id"]
    await say(alice, other, "secret")
    ghost, room = await portal(bridge, alice)
    await say(alice, room, "hello")
    await say(ghost, room, "hi")
    await network.passes(1)
    assert bridge.bodies() == ["hello", "hi"]
    assert {event["room_id"] for event in bridge.events} == {room}
    invite = next(event for event in bridge.events if event["content"].get("membership") == "invite")
    assert "m.room.create" in [shown["type"] for shown in invite["unsigned"]["invite_room_state"]]
    assert good(await alice.put(f"/rooms/{room}/state/m.room.topic", {"topic": "one"}))
    assert good(await alice.put(f"/rooms/{room}/state/m.room.topic", {"topic": "two"}))
    await network.passes(1)
    assert bridge.events[-1]["unsigned"]["prev_content"] == {"topic": "one"}


@story
async def test_a_service_that_was_away_is_told_what_it_missed_as_it_was_then(network: Network) -> None:
    bridge = bridged(network)
    alice = await bridge.home.user("alice")
    ghost, room = await portal(bridge, alice)
    await network.passes(1)
    bridge.status, bridge.told[:] = 500, []
    await say(alice, room, "one")
    await network.passes(5)
    await say(alice, room, "two")
    good(await alice.post(f"/rooms/{room}/kick", {"user_id": ghost.user_id}))
    await say(alice, room, "three")
    await network.passes(60)
    attempts = list(bridge.told)
    assert len(attempts) > 3
    assert len({txn_id for txn_id, _ in attempts}) == 1, "the same transaction again, under the same id"
    assert all(content == attempts[0][1] for _, content in attempts)
    bridge.status, bridge.told[:] = 200, []
    await network.passes(600)
    assert bridge.bodies() == ["one", "two"], "nothing of what was said after its user was sent away"
    ids = [int(txn_id) for txn_id, _ in bridge.told]
    assert ids == sorted(set(ids))


@story
async def test_what_was_under_way_survives_a_restart(network: Network) -> None:
    bridge = bridged(network)
    alice = await bridge.home.user("alice")
    _, room = await portal(bridge, alice)
    await network.passes(1)
    bridge.status, bridge.told[:] = 503, []
    await say(alice, room, "one")
    await network.passes(1)
    first = bridge.told[0]
    await bridge.home.server.bridging.deliveries.stop()
    await say(alice, room, "two")
    bridge.home = network.restart(bridge.home)
    bridge.status, bridge.told[:] = 200, []
    await network.passes(600)
    assert bridge.told[0] == first
    assert bridge.bodies() == ["one", "two"]


@story
async def test_a_service_hears_of_invites_to_rooms_elsewhere(network: Network) -> None:
    bridge = bridged(network)
    ghost = await bridge.ghost("irc_bob")
    carol = await network.server("b").user("carol")
    room = good(await carol.post("/createRoom", {"preset": "private_chat", "name": "Elsewhere"}))["room_id"]
    good(await carol.post(f"/rooms/{room}/invite", {"user_id": ghost.user_id}))
    await network.passes(1)
    invite = bridge.events[-1]
    assert (invite["state_key"], invite["content"]["membership"]) == (ghost.user_id, "invite")
    assert "Elsewhere" in [shown["content"].get("name") for shown in invite["unsigned"]["invite_room_state"]]


@story
async def test_who_asked_for_it_hears_who_types_reads_and_is_there(network: Network) -> None:
    bridge = bridged(network, "receive_ephemeral: true\nde.sorunome.msc2409.push_ephemeral: true\n")
    alice, mallory = await bridge.home.user("alice"), await bridge.home.user("mallory")
    _, room = await portal(bridge, alice)
    event = (await say(alice, room, "hello"))["event_id"]
    alone = good(await mallory.post("/createRoom", {}))["room_id"]
    await network.passes(1)
    bridge.told.clear()
    good(await alice.put(f"/rooms/{room}/typing/{alice.user_id}", {"typing": True, "timeout": 30000}))
    good(await mallory.put(f"/rooms/{alone}/typing/{mallory.user_id}", {"typing": True, "timeout": 30000}))
    good(await alice.post(f"/rooms/{room}/receipt/m.read/{event}", {}))
    good(await alice.put(f"/presence/{alice.user_id}/status", {"presence": "online", "status_msg": "here"}))
    good(await mallory.put(f"/presence/{mallory.user_id}/status", {"presence": "online", "status_msg": "here"}))
    await network.passes(20)
    heard = [one for _, content in bridge.told for one in content["ephemeral"]]
    assert all(content["ephemeral"] == content["de.sorunome.msc2409.ephemeral"] for _, content in bridge.told)
    assert {one["type"] for one in heard} == {"m.typing", "m.receipt", "m.presence"}
    assert {one["room_id"] for one in heard if "room_id" in one} == {room}
    assert {one["sender"] for one in heard if one["type"] == "m.presence"} == {alice.user_id}
    receipt = next(one for one in heard if one["type"] == "m.receipt")
    assert list(receipt["content"][event]["m.read"]) == [alice.user_id]


@story
async def test_messages_to_devices_of_its_users_are_in_exactly_one_transaction(network: Network) -> None:
    bridge = bridged(network, "org.matrix.msc3202: true\n")
    alice = await bridge.home.user("alice")
    ghost, _ = await portal(bridge, alice)
    assert (await ghost.put("/devices/GHOST", {"display_name": "bridge"})).status == 201
    await network.passes(1)
    bridge.status, bridge.told[:] = 500, []
    content = {"messages": {ghost.user_id: {"GHOST": {"secret": 1}}, alice.user_id: {alice.device_id: {}}}}
    good(await alice.put("/sendToDevice/m.room_key/1", content))
    await network.passes(10)
    bridge.status = 200
    await network.passes(600)
    sent = {txn_id: told.get("de.sorunome.msc2409.to_device", []) for txn_id, told in bridge.told}
    messages = [message for listed in sent.values() for message in listed]
    assert messages == [
        {"type": "m.room_key", "sender": alice.user_id, "content": {"secret": 1}, "to_user_id": ghost.user_id, "to_device_id": "GHOST"}
    ]
    assert "org.matrix.msc3202.device_one_time_keys_count" in bridge.told[-1][1]


@story
async def test_a_new_service_is_not_told_the_past(network: Network) -> None:
    bridge = bridged(network)
    alice = await bridge.home.user("alice")
    for number in range(3):
        await say(alice, good(await alice.post("/createRoom", {}))["room_id"], str(number))
    await network.passes(5)
    assert bridge.told == []
