"""The endpoints of keys as clients and other servers see them."""

from tests.keys.town import Person, Town
from tests.world import Network, good, story

MEMBER = {"preset": "public_chat"}


def person(user_id: str) -> Person:
    """Somebody who can make keys."""
    made = Town().server(user_id.partition(":")[2]).person(user_id[1:].partition(":")[0])
    assert made.user_id == user_id
    return made


@story
async def test_upload_query_and_claim_on_one_server(network: Network) -> None:
    alice = await network.server("a").user("alice", "PHONE")
    maker = person(alice.user_id)
    keys, once = maker.identity("PHONE"), maker.one_time("PHONE", "A")
    assert good(await alice.post("/keys/upload", {"device_keys": keys, "one_time_keys": once})) == {
        "one_time_key_counts": {"signed_curve25519": 1}
    }
    found = good(await alice.post("/keys/query", {"device_keys": {alice.user_id: ["PHONE"]}}))
    assert found["device_keys"][alice.user_id]["PHONE"].items() >= keys.items()
    claim = {"one_time_keys": {alice.user_id: {"PHONE": "signed_curve25519"}}}
    assert good(await alice.post("/keys/claim", claim)) == {"one_time_keys": {alice.user_id: {"PHONE": once}}, "failures": {}}
    assert good(await alice.post("/keys/claim", claim)) == {"one_time_keys": {}, "failures": {}}
    changed = {"signed_curve25519:B": {"key": "x", "signatures": {}}}
    good(await alice.post("/keys/upload", {"one_time_keys": changed}))
    changed["signed_curve25519:B"]["key"] = "y"
    assert (await alice.post("/keys/upload", {"one_time_keys": changed})).status == 400


@story
async def test_cross_signing_keys_are_replaced_with_the_password_only(network: Network) -> None:
    alice = await network.server("a").user("alice", "PHONE")
    maker = person(alice.user_id)
    good(await alice.post("/keys/device_signing/upload", maker.cross_signing()))
    good(await alice.post("/keys/device_signing/upload", maker.cross_signing()))
    other = maker.cross_signing(seed=150)
    refused = await alice.post("/keys/device_signing/upload", other)
    assert refused.status == 401 and refused.json["flows"] and refused.json["session"]
    found = good(await alice.post("/keys/query", {"device_keys": {alice.user_id: []}}))
    assert found["master_keys"][alice.user_id]["keys"] == maker.cross_signing()["master_key"]["keys"]
    failures = good(await alice.post("/keys/signatures/upload", {alice.user_id: {"PHONE": {"signatures": {}}}}))["failures"]
    assert failures[alice.user_id]["PHONE"]["errcode"] == "M_NOT_FOUND"


@story
async def test_keys_of_users_elsewhere(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice", "PHONE"), await b.user("bob", "LAPTOP")
    maker = person(alice.user_id)
    keys, once = maker.identity("PHONE"), maker.one_time("PHONE", "A")
    good(await alice.post("/keys/upload", {"device_keys": keys, "one_time_keys": once}))
    good(await alice.post("/keys/device_signing/upload", maker.cross_signing()))
    found = good(await bob.post("/keys/query", {"device_keys": {alice.user_id: []}}))
    assert found["device_keys"][alice.user_id]["PHONE"] == {**keys, "unsigned": {}}
    assert (set(found["master_keys"]), found["user_signing_keys"], found["failures"]) == ({alice.user_id}, {}, {})
    claim = {"one_time_keys": {alice.user_id: {"PHONE": "signed_curve25519"}}}
    assert good(await bob.post("/keys/claim", claim))["one_time_keys"] == {alice.user_id: {"PHONE": once}}
    assert good(await bob.post("/keys/claim", claim))["one_time_keys"] == {}
    network.down.add("a")
    found = good(await bob.post("/keys/query", {"device_keys": {alice.user_id: [], bob.user_id: []}, "timeout": 1000}))
    assert (found["device_keys"], list(found["failures"])) == ({bob.user_id: {}}, ["a"])


@story
async def test_messages_and_changes_come_with_sync(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice", "PHONE"), await a.user("bob", "LAPTOP")
    room = good(await alice.post("/createRoom", MEMBER))["room_id"]
    good(await bob.post(f"/join/{room}"))
    first = good(await bob.get("/sync"))
    assert first["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert first["device_unused_fallback_key_types"] == []
    maker = person(alice.user_id)
    good(await alice.post("/keys/upload", {"device_keys": maker.identity("PHONE")}))
    good(await alice.put("/sendToDevice/m.test/1", {"messages": {bob.user_id: {"*": {"n": 1}}}}))
    good(await alice.put("/sendToDevice/m.test/1", {"messages": {bob.user_id: {"*": {"n": 1}}}}))
    for _ in range(2):
        then = good(await bob.get("/sync", since=first["next_batch"]))
        assert then["to_device"]["events"] == [{"type": "m.test", "sender": alice.user_id, "content": {"n": 1}}]
        assert then["device_lists"]["changed"] == [alice.user_id]
    assert "to_device" not in good(await bob.get("/sync", since=then["next_batch"]))
    changes = good(await bob.get("/keys/changes", **{"from": first["next_batch"], "to": then["next_batch"]}))
    assert changes == {"changed": [alice.user_id], "left": []}
    assert (await bob.get("/keys/changes")).status == 400
    assert (await bob.get("/keys/changes", **{"from": "nonsense", "to": "x"})).status == 400


@story
async def test_logging_out_takes_keys_and_messages_with_it(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice", "PHONE"), await a.user("bob", "LAPTOP")
    good(await alice.post("/keys/upload", {"device_keys": person(alice.user_id).identity("PHONE")}))
    good(await bob.put("/sendToDevice/m.test/1", {"messages": {alice.user_id: {"PHONE": {}}}}))
    good(await alice.post("/logout"))
    assert good(await bob.post("/keys/query", {"device_keys": {alice.user_id: []}}))["device_keys"] == {alice.user_id: {}}
    alice = await a.user("alice", "PHONE")
    assert "to_device" not in good(await alice.get("/sync"))


@story
async def test_a_backup_from_beginning_to_end(network: Network) -> None:
    alice = await network.server("a").user("alice", "PHONE")
    assert (await alice.get("/room_keys/version")).json["errcode"] == "M_NOT_FOUND"
    version = good(await alice.post("/room_keys/version", {"algorithm": "m.megolm_backup.v1", "auth_data": {"foo": "bar"}}))["version"]
    key = {"first_message_index": 1, "forwarded_count": 0, "is_verified": False, "session_data": {"a": "b"}}
    good(await alice.put("/room_keys/keys/!r:a/s", key, version=version))
    good(await alice.put("/room_keys/keys/!r:a", {"sessions": {"t": key}}, version=version))
    put = good(await alice.put("/room_keys/keys", {"rooms": {"!q:a": {"sessions": {"s": key}}}}, version=version))
    assert put["count"] == 3
    described = good(await alice.get("/room_keys/version"))
    assert described == {"algorithm": "m.megolm_backup.v1", "auth_data": {"foo": "bar"}, "version": version, **put}
    assert good(await alice.get("/room_keys/keys/!r:a/s", version=version)) == key
    assert good(await alice.get("/room_keys/keys/!r:a", version=version)) == {"sessions": {"s": key, "t": key}}
    rooms = {"!q:a": {"sessions": {"s": key}}, "!r:a": {"sessions": {"s": key, "t": key}}}
    assert good(await alice.get("/room_keys/keys", version=version)) == {"rooms": rooms}
    assert (await alice.get("/room_keys/keys", version="99")).status == 404
    wrong = await alice.put("/room_keys/keys/!r:a/s", key, version="99")
    assert (wrong.status, wrong.json["errcode"], wrong.json["current_version"]) == (403, "M_WRONG_ROOM_KEYS_VERSION", version)
    assert (await alice.put("/room_keys/keys/!r:a/s", key)).json["errcode"] == "M_MISSING_PARAM"
    assert good(await alice.delete("/room_keys/keys/!r:a/s", version=version))["count"] == 2
    assert good(await alice.delete("/room_keys/keys/!r:a", version=version))["count"] == 1
    assert good(await alice.delete("/room_keys/keys", version=version))["count"] == 0
    body = {"algorithm": "m.megolm_backup.v1", "auth_data": {}, "version": "other"}
    assert (await alice.put(f"/room_keys/version/{version}", body)).json["errcode"] == "M_INVALID_PARAM"
    for _ in range(2):
        good(await alice.delete(f"/room_keys/version/{version}"))
    assert (await alice.get(f"/room_keys/version/{version}")).status == 404


@story
async def test_a_dehydrated_device(network: Network) -> None:
    alice = await network.server("a").user("alice", "PHONE")
    path, maker = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device", person(alice.user_id)
    assert (await alice.get(path)).status == 404
    body = {"device_id": "DRY", "device_data": {"algorithm": "x"}, "device_keys": maker.identity("DRY")}
    assert good(await alice.put(path, body)) == {"device_id": "DRY"}
    assert good(await alice.get(path)) == {"device_id": "DRY", "device_data": {"algorithm": "x"}}
    good(await alice.put("/sendToDevice/m.test/1", {"messages": {alice.user_id: {"DRY": {"n": 1}}}}))
    page = good(await alice.post(f"{path}/DRY/events", {}))
    assert [event["content"] for event in page["events"]] == [{"n": 1}]
    assert good(await alice.post(f"{path}/DRY/events", {"next_batch": page["next_batch"]}))["events"] == []
    assert good(await alice.delete(path)) == {"device_id": "DRY"}


@story
async def test_malformed_requests(network: Network) -> None:
    alice = await network.server("a").user("alice", "PHONE")
    for path, body in (
        ("/keys/query", {}),
        ("/keys/query", {"device_keys": []}),
        ("/keys/query", {"device_keys": {alice.user_id: "PHONE"}}),
        ("/keys/claim", {"one_time_keys": {alice.user_id: ["PHONE"]}}),
        ("/keys/upload", {"one_time_keys": []}),
        ("/keys/upload", {"device_keys": {"user_id": alice.user_id, "device_id": "PHONE"}}),
        ("/keys/signatures/upload", {alice.user_id: []}),
        ("/keys/device_signing/upload", {"master_key": "x"}),
        ("/room_keys/version", {"algorithm": "x"}),
    ):
        refused = await alice.post(path, body)
        assert (refused.status, refused.json["errcode"]) == (400, "M_BAD_JSON"), path
    assert (await alice.put("/sendToDevice/m.test/1", {})).json["errcode"] == "M_BAD_JSON"


@story
async def test_an_account_that_ends_leaves_no_keys(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice", "PHONE"), await a.user("bob", "LAPTOP")
    maker = person(alice.user_id)
    good(await alice.post("/keys/upload", {"device_keys": maker.identity("PHONE")}))
    good(await alice.post("/keys/device_signing/upload", maker.cross_signing()))
    good(await alice.post("/room_keys/version", {"algorithm": "x", "auth_data": {}}))
    await a.server.accounts.closing.deactivate(alice.user_id, erase=False)
    found = good(await bob.post("/keys/query", {"device_keys": {alice.user_id: []}}))
    assert (found["device_keys"], found["master_keys"]) == ({alice.user_id: {}}, {})
    assert await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM key_backups")) == 0
