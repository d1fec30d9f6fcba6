"""What clients keep for themselves: account data, tags, filters, and tokens that say who they are."""

import pytest

from homeserver.storage import account_data
from tests.api.people import refused, registers
from tests.world import Network, good, story

OLD = "/_matrix/client/unstable/org.matrix.msc3391"


@story
async def test_of_the_account_and_of_rooms(network: Network) -> None:
    home = network.server("a")
    alice, bob = await registers(home, "alice"), await registers(home, "bob")
    for place in ["/user/@alice:a/account_data/org.x", "/user/@alice:a/rooms/!r:a/account_data/org.x"]:
        refused(await alice.get(place), 404, "M_NOT_FOUND")
        good(await alice.put(place, {"value": 1}))
        assert good(await alice.get(place)) == {"value": 1}
        refused(await bob.get(place), 403, "M_FORBIDDEN")
        refused(await bob.put(place, {"value": 2}), 403, "M_FORBIDDEN")
        refused(await bob.delete(OLD + place), 403, "M_FORBIDDEN")
        refused(await alice.put(place, [1]), 400, "M_BAD_JSON")
        refused(await alice.put(place, b"{"), 400, "M_NOT_JSON")
        assert good(await alice.get(place)) == {"value": 1}
    refused(await alice.put("/user/@alice:a/rooms/nonsense/account_data/x", {}), 400, "M_INVALID_PARAM")
    refused(await alice.put("/user/@alice:a/account_data/" + "x" * 256, {"a": 1}), 400, "M_INVALID_PARAM")
    refused(await alice.put("/user/@alice:a/account_data/org.x", {"a": "x" * 600_000}), 413, "M_TOO_LARGE")


@story
async def test_what_the_server_writes_is_not_theirs(network: Network) -> None:
    alice = await registers(network.server("a"), "alice")
    for kind in ["m.push_rules", "m.fully_read"]:
        for place in [f"/user/@alice:a/account_data/{kind}", f"/user/@alice:a/rooms/!r:a/account_data/{kind}"]:
            refused(await alice.put(place, {"x": 1}), 405, "M_BAD_JSON")
            refused(await alice.delete(OLD + place), 405, "M_BAD_JSON")


@pytest.mark.parametrize("by_delete", [True, False])
@story
async def test_who_follows_sees_a_removal(network: Network, by_delete: bool) -> None:
    home = network.server("a")
    alice, database, place = await registers(home, "alice"), home.server.database, "/user/@alice:a/account_data/org.x"
    good(await alice.put(place, {"value": 1}))
    since = database.now()
    watch = database.wakeups.watch({"@alice:a"})
    good(await (alice.delete(OLD + place) if by_delete else alice.put(place, {})))
    assert watch.fired
    refused(await alice.get(place), 404, "M_NOT_FOUND")
    [(low, high)] = since.ranges(database.now())
    assert await database.read(account_data.changes, alice.user_id, low, high) == [("", "org.x", b"{}")]
    assert await database.read(account_data.all_of, alice.user_id) == []
    refused(await alice.delete(OLD + place), 404, "M_NOT_FOUND")


@story
async def test_tags(network: Network) -> None:
    home = network.server("a")
    alice, bob, place = await registers(home, "alice"), await registers(home, "bob"), "/user/@alice:a/rooms/!r:a/tags"
    assert good(await alice.get(place)) == {"tags": {}}
    good(await alice.put(place + "/u.work", {"order": 0.5}))
    good(await alice.put(place + "/m.favourite", {}))
    assert good(await alice.get(place)) == {"tags": {"u.work": {"order": 0.5}, "m.favourite": {}}}
    refused(await bob.get(place), 403, "M_FORBIDDEN")
    refused(await alice.put(place + "/u.x", {"order": "first"}), 400, "M_BAD_JSON")
    good(await alice.delete(place + "/u.work"))
    good(await alice.delete(place + "/m.favourite"))
    good(await alice.delete(place + "/m.favourite"))
    assert good(await alice.get("/user/@alice:a/rooms/!r:a/account_data/m.tag")) == {"tags": {}}
    for n in range(100):
        good(await alice.put(f"{place}/u.{n}", {}))
    refused(await alice.put(place + "/u.one_more", {}), 400, "M_TOO_LARGE")


@story
async def test_filters_do_not_change(network: Network) -> None:
    home = network.server("a")
    alice, bob, place = await registers(home, "alice"), await registers(home, "bob"), "/user/@alice:a/filter"
    wanted = {"room": {"timeline": {"limit": 10, "types": ["m.*"]}, "rooms": ["!r:a"]}, "org.more": 1}
    first = good(await alice.post(place, wanted))["filter_id"]
    assert good(await alice.get(f"{place}/{first}")) == wanted
    assert good(await alice.post(place, dict(reversed(wanted.items()))))["filter_id"] == first
    assert good(await alice.post(place, {}))["filter_id"] != first
    refused(await bob.get(f"{place}/{first}"), 403, "M_FORBIDDEN")
    refused(await bob.get(f"/user/@bob:a/filter/{first}"), 404, "M_NOT_FOUND")
    for odd in ["x", "-1", "99999999999999999999", "1.0", "٣"]:
        refused(await alice.get(f"{place}/{odd}"), 404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    "definition",
    [
        {"room": []},
        {"room": {"timeline": {"limit": "10"}}},
        {"room": {"timeline": {"limit": -1}}},
        {"room": {"timeline": {"limit": 1.5}}},
        {"room": {"rooms": ["nonsense"]}},
        {"room": {"state": {"senders": ["alice"]}}},
        {"presence": {"not_senders": "@a:b"}},
        {"event_format": "pdu"},
        {"event_fields": [1]},
        {"room": {"timeline": {"types": ["x" * 2000]}}},
    ],
)
@story
async def test_what_is_no_filter(network: Network, definition: dict[str, object]) -> None:
    alice = await registers(network.server("a"), "alice")
    refused(await alice.post("/user/@alice:a/filter", definition), 400, "M_BAD_JSON")


@story
async def test_who_one_is_for_a_third_party(network: Network) -> None:
    home = network.server("a")
    alice, bob, page = await registers(home, "alice"), await registers(home, "bob"), "/_matrix/federation/v1/openid/userinfo"
    answer = good(await alice.post("/user/@alice:a/openid/request_token", {}))
    assert (answer["token_type"], answer["matrix_server_name"], answer["expires_in"]) == ("Bearer", "a", 3600)
    refused(await bob.post("/user/@alice:a/openid/request_token", {}), 403, "M_FORBIDDEN")
    third = home.stranger()
    assert good(await third.get(page, access_token=answer["access_token"])) == {"sub": "@alice:a"}
    refused(await third.get(page, access_token=alice.token), 401, "M_UNKNOWN_TOKEN")
    refused(await home.stranger(answer["access_token"]).get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    refused(await third.get(page), 400, "M_MISSING_PARAM")
    await network.passes(3601)
    refused(await third.get(page, access_token=answer["access_token"]), 401, "M_UNKNOWN_TOKEN")
