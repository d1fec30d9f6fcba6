"""The list of devices, and when they were last seen."""

from tests.api.people import logs_in, refused, registers, secret
from tests.world import Network, good, story


@story
async def test_names(network: Network) -> None:
    home = network.server("a")
    alice, bob = await registers(home, "alice", device_id="ONE"), await registers(home, "bob")
    good(await alice.put("/devices/ONE", {"display_name": "Phone"}))
    good(await alice.put("/devices/ONE", {}))
    assert good(await alice.get("/devices/ONE"))["display_name"] == "Phone"
    for device in ["NONE", "x" * 300]:
        refused(await alice.get(f"/devices/{device}"), 404, "M_NOT_FOUND")
        refused(await alice.put(f"/devices/{device}", {"display_name": "x"}), 404, "M_NOT_FOUND")
    refused(await bob.put("/devices/ONE", {"display_name": "x"}), 404, "M_NOT_FOUND")
    refused(await alice.put("/devices/ONE", {"display_name": 7}), 400, "M_BAD_JSON")
    refused(await alice.put("/devices/ONE", {"display_name": "x" * 300}), 400, "M_TOO_LARGE")


@story
async def test_several_at_once(network: Network) -> None:
    home = network.server("a")
    alice, two, three = await registers(home, "alice"), await logs_in(home, "alice"), await logs_in(home, "alice")
    body = {"devices": [two.device_id, three.device_id, "never was"]}
    session = (await alice.post("/delete_devices", body)).json["session"]
    good(await alice.post("/delete_devices", {**body, "auth": secret("alice", session=session)}))
    assert [one["device_id"] for one in good(await alice.get("/devices"))["devices"]] == [alice.device_id]
    refused(await alice.post("/delete_devices", {"devices": "all"}), 400, "M_BAD_JSON")
    refused(await alice.post("/delete_devices", {"devices": ["x"] * 1001}), 400, "M_BAD_JSON")


@story
async def test_settings_for_a_device_end_with_it(network: Network) -> None:
    home = network.server("a")
    alice, two = await registers(home, "alice"), await logs_in(home, "alice")
    place = f"/user/@alice:a/account_data/org.matrix.msc3890.local_notification_settings.{two.device_id}"
    good(await alice.put(place, {"is_silenced": True}))
    good(await two.post("/logout"))
    refused(await alice.get(place), 404, "M_NOT_FOUND")


@story
async def test_when_a_device_was_seen_costs_no_write_per_request(network: Network) -> None:
    home = network.server("a")
    alice, database = await registers(home, "alice"), home.server.database
    for _ in range(10):
        good(await alice.request("GET", "/account/whoami", headers={"user-agent": "Nio\0" + "x" * 1000}))
    assert "last_seen_ts" not in good(await alice.get(f"/devices/{alice.device_id}"))
    await home.server.accounts.callers.sightings.write(database)
    seen = good(await alice.get(f"/devices/{alice.device_id}"))
    assert (seen["last_seen_ip"], seen["last_seen_ts"]) == ("127.0.0.1", home.server.clock.now())
    root, bob = await home.user("root", admin=True), await registers(home, "bob")
    for asker in (alice, root):
        devices = good(await asker.get("/admin/whois/@alice:a"))["devices"]
        assert devices[alice.device_id]["sessions"][0]["connections"][0]["ip"] == "127.0.0.1"
    refused(await bob.get("/admin/whois/@alice:a"), 403, "M_FORBIDDEN")
    await home.server.accounts.callers.sightings.write(database)
    before = database.now()
    await home.server.accounts.callers.sightings.write(database)
    assert database.now() == before


@story
async def test_a_token_that_ends_while_it_is_looked_up_is_not_remembered(network: Network) -> None:
    home = network.server("a")
    alice, memory = await registers(home, "alice"), home.server.accounts.callers.memory
    generation = memory.generation
    good(await alice.get("/account/whoami"))
    [(token_hash, known)] = [item for bucket in memory._buckets for item in bucket.items()]
    good(await alice.post("/logout"))
    memory.keep(token_hash, known, generation)  # what was read before the end, and arrives after it
    refused(await alice.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
