"""Rooms in the hands of operators."""

from tests.world import Network, good, story

V1, V2 = "/_synapse/admin/v1", "/_synapse/admin/v2"


async def say(who, room, text):
    return good(await who.put(f"/rooms/{room}/send/m.room.message/{text}", {"msgtype": "m.text", "body": text}))["event_id"]


async def texts(who, room):
    page = good(await who.get(f"/rooms/{room}/messages", dir="b", limit=100))
    return [event["content"]["body"] for event in reversed(page["chunk"]) if event["type"] == "m.room.message"]


@story
async def test_rooms_are_seen(network: Network) -> None:
    home = network.server("a")
    admin, alice = await home.user("admin", admin=True), await home.user("alice")
    room = good(await alice.post("/createRoom", {"name": "Secret", "room_alias_name": "secret"}))["room_id"]
    other = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    listed = good(await admin.get(f"{V1}/rooms", order_by="joined_members", dir="b"))
    assert {one["room_id"] for one in listed["rooms"]} == {room, other}
    assert (listed["total_rooms"], listed["offset"]) == (2, 0)
    assert [one["name"] for one in good(await admin.get(f"{V1}/rooms", search_term="secret"))["rooms"]] == ["Secret"]
    assert good(await admin.get(f"{V1}/rooms", limit=1))["next_batch"] == 1
    shown = good(await admin.get(f"{V1}/rooms/{room}"))
    assert (shown["join_rules"], shown["joined_local_members"], shown["creator"]) == ("invite", 1, alice.user_id)
    assert good(await admin.get(f"{V1}/rooms/{room}/members")) == {"members": [alice.user_id], "total": 1}
    assert "m.room.create" in [event["type"] for event in good(await admin.get(f"{V1}/rooms/{room}/state"))["state"]]
    assert (await admin.get(f"{V1}/rooms/!nowhere:a")).status == 404


@story
async def test_a_blocked_room_is_entered_by_nobody(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    admin, alice, bob = await a.user("admin", admin=True), await a.user("alice"), await b.user("bob")
    here = good(await admin.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    there = good(await bob.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for room in (here, there):
        good(await admin.put(f"{V1}/rooms/{room}/block", {"block": True}))
        assert (await alice.post(f"/join/{room}", via="b")).json["error"] == "This room is blocked on this server"
    assert (await bob.post(f"/rooms/{there}/invite", {"user_id": alice.user_id})).status == 403
    assert good(await admin.get(f"{V1}/rooms/{here}/block")) == {"block": True, "user_id": admin.user_id}
    good(await admin.put(f"{V1}/rooms/{here}/block", {"block": False}))
    good(await alice.post(f"/join/{here}"))


@story
async def test_a_deleted_room_is_gone(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    admin, alice, carol, bob = await a.user("admin", admin=True), await a.user("alice"), await a.user("carol"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat", "room_alias_name": "x"}))["room_id"]
    other = good(await alice.post("/createRoom", {}))["room_id"]
    good(await bob.post(f"/join/{room}", via="a"))
    good(await alice.post(f"/rooms/{room}/invite", {"user_id": carol.user_id}))
    await say(alice, room, "one")
    await say(alice, other, "kept")
    since = good(await alice.get("/sync"))["next_batch"]
    ordered = good(await admin.delete(f"{V2}/rooms/{room}", {"block": True, "purge": True}))["delete_id"]
    await network.passes(3)
    assert room in good(await alice.get("/sync", since=since))["rooms"]["leave"], "clients hear that they are out"
    await network.passes(60)
    status = good(await admin.get(f"{V2}/rooms/delete_status/{ordered}"))
    assert status["status"] == "complete"
    assert set(status["shutdown_room"]["kicked_users"]) == {alice.user_id, carol.user_id}
    assert good(await admin.get(f"{V2}/rooms/{room}/delete_status"))["results"] == [status]
    assert (await admin.get(f"{V1}/rooms/{room}")).status == 404
    left = a.server.database.read(lambda txn: [
        (table, column)
        for table, column in (("events", "room_id"), ("members", "room_id"), ("current_state", "room_id"), ("aliases", "room_id"))
        if txn.value(f"SELECT COUNT(*) FROM {table} WHERE {column} = :room", room=room)
    ])  # fmt: skip
    assert await left == []
    assert (await alice.post(f"/join/{room}", via="b")).status == 403
    assert "join" not in str(good(await bob.get(f"/rooms/{room}/joined_members"))["joined"].get(alice.user_id))
    assert await texts(alice, other) == ["kept"]
    good(await alice.get("/sync", since=since))
    good(await carol.get("/sync"))


@story
async def test_a_deletion_goes_on_after_a_restart_and_is_ordered_once(network: Network) -> None:
    home = network.server("a")
    admin, alice = await home.user("admin", admin=True), await home.user("alice")
    room = good(await alice.post("/createRoom", {}))["room_id"]
    ordered = good(await admin.delete(f"{V2}/rooms/{room}", {}))["delete_id"]
    assert (await admin.delete(f"{V2}/rooms/{room}", {})).status == 400
    await home.server.operating.clearing.work.stop()
    again = network.restart(home)
    await network.passes(60)
    answer = await again.stranger(admin.token).get(f"{V2}/rooms/delete_status/{ordered}")
    assert good(answer)["status"] == "complete"
    assert (await admin.delete(f"{V1}/rooms/!nowhere:a", {})).status == 404
    bob = await again.user("bob")
    other = good(await bob.post("/createRoom", {}))["room_id"]
    assert good(await again.stranger(admin.token).delete(f"{V1}/rooms/{other}", {}))["kicked_users"] == [bob.user_id]
    assert (await again.stranger(admin.token).get(f"{V1}/rooms/{other}")).status == 404


@story
async def test_old_messages_are_purged_and_the_room_lives_on(network: Network) -> None:
    home = network.server("a")
    admin, alice = await home.user("admin", admin=True), await home.user("alice")
    room = good(await alice.post("/createRoom", {"name": "Room"}))["room_id"]
    old = [await say(alice, room, f"old{number}") for number in range(5)]
    kept = await say(alice, room, "kept")
    path = f"{V1}/purge_history/{room}/{kept}"
    first = good(await admin.post(path, {}))["purge_id"]
    await network.passes(5)
    assert good(await admin.get(f"{V1}/purge_history_status/{first}")) == {"status": "complete"}
    assert len(await texts(alice, room)) == 6, "what was said here is nowhere else: it stays unless asked for"
    good(await admin.post(path, {"delete_local_events": True}))
    await network.passes(5)
    assert await texts(alice, room) == ["kept"]
    assert (await alice.get(f"/rooms/{room}/event/{old[0]}")).status == 404
    await say(alice, room, "new")
    assert await texts(alice, room) == ["kept", "new"]
    assert good(await alice.get(f"/rooms/{room}/state/m.room.name"))["name"] == "Room"
    good(await alice.get("/sync"))
    assert (await admin.post(f"{V1}/purge_history/{room}/$nothing", {})).status == 404
    assert (await admin.post(f"{V1}/purge_history/{room}", {})).status == 400


@story
async def test_power_is_handed_to_somebody(network: Network) -> None:
    home = network.server("a")
    admin, alice, bob = await home.user("admin", admin=True), await home.user("alice"), await home.user("bob")
    for version in ("11", "12"):
        room = good(await alice.post("/createRoom", {"room_version": version}))["room_id"]
        good(await admin.post(f"{V1}/rooms/{room}/make_room_admin", {"user_id": bob.user_id}))
        levels = good(await alice.get(f"/rooms/{room}/state/m.room.power_levels"))
        assert levels["users"][bob.user_id] == 100
        good(await bob.post(f"/join/{room}"))
        good(await bob.put(f"/rooms/{room}/state/m.room.power_levels", levels | {"users_default": 1}))
    nobody = await admin.post(f"{V1}/rooms/!nowhere:a/make_room_admin", {})
    assert nobody.status == 404


@story
async def test_what_somebody_said_is_redacted_everywhere(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    admin, bob, carol = await a.user("admin", admin=True), await a.user("bob"), await b.user("carol")
    room = good(await admin.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for who in (bob, carol):
        good(await who.post(f"/join/{room}", via="a"))
        await say(who, room, f"spam of {who.user_id}")
    await say(admin, room, "kept")
    await network.passes(1)
    other = good(await bob.post("/createRoom", {}))["room_id"]
    await say(bob, other, "spam")
    for who in (bob, carol):
        ordered = good(await admin.post(f"{V1}/user/{who.user_id}/redact", {"rooms": [], "reason": "spam"}))["redact_id"]
        await network.passes(2)
        assert good(await admin.get(f"{V1}/user/redact_status/{ordered}")) == {"status": "complete", "failed_redactions": {}}
    page = good(await admin.get(f"/rooms/{room}/messages", dir="b", limit=50))["chunk"]
    assert [event["content"].get("body") for event in page if event["type"] == "m.room.message"] == ["kept", None, None]
    page = good(await bob.get(f"/rooms/{other}/messages", dir="b", limit=50))["chunk"]
    assert [event["content"] for event in page if event["type"] == "m.room.message"] == [{}]


@story
async def test_somebody_is_brought_into_a_room(network: Network) -> None:
    home = network.server("a")
    admin, alice, bob = await home.user("admin", admin=True), await home.user("alice"), await home.user("bob")
    closed = good(await admin.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    public = good(await alice.post("/createRoom", {"preset": "public_chat", "room_alias_name": "lobby"}))["room_id"]
    hidden = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    assert good(await admin.post(f"{V1}/join/{closed}", {"user_id": bob.user_id}))["room_id"] == closed
    assert good(await admin.post(f"{V1}/join/%23lobby:a", {"user_id": bob.user_id}))["room_id"] == public
    assert set(good(await bob.get("/joined_rooms"))["joined_rooms"]) == {closed, public}
    assert (await admin.post(f"{V1}/join/{hidden}", {"user_id": bob.user_id})).status == 404
    assert (await admin.post(f"{V1}/join/{public}", {"user_id": "@nobody:a"})).status == 404
