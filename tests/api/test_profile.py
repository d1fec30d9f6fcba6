"""Profiles: any field, who may change them, and the rooms that hear of it."""

import pytest

from homeserver.accounts.in_rooms import content
from tests.api.people import refused, registers
from tests.world import Network, good, story


@story
async def test_any_field(network: Network) -> None:
    home = network.server("a")
    alice, bob = await registers(home, "alice"), await registers(home, "bob")
    good(await alice.put("/profile/@alice:a/displayname", {"displayname": "Alice"}))
    good(await alice.put("/profile/@alice:a/m.tz", {"m.tz": "Europe/Berlin"}))
    good(await alice.put("/profile/@alice:a/org.example.x", {"org.example.x": {"deep": [1, None]}}))
    anybody = home.stranger()
    assert good(await anybody.get("/profile/@alice:a")) == {
        "displayname": "Alice",
        "m.tz": "Europe/Berlin",
        "org.example.x": {"deep": [1, None]},
    }
    assert good(await anybody.get("/profile/@alice:a/m.tz")) == {"m.tz": "Europe/Berlin"}
    refused(await anybody.get("/profile/@alice:a/avatar_url"), 404, "M_NOT_FOUND")
    refused(await anybody.get("/profile/@nobody:a"), 404, "M_NOT_FOUND")

    refused(await bob.put("/profile/@alice:a/displayname", {"displayname": "Bob"}), 403, "M_FORBIDDEN")
    refused(await bob.delete("/profile/@alice:a/m.tz"), 403, "M_FORBIDDEN")
    refused(await anybody.put("/profile/@alice:a/displayname", {"displayname": "x"}), 401, "M_MISSING_TOKEN")
    good(await alice.delete("/profile/@alice:a/m.tz"))
    good(await alice.delete("/profile/@alice:a/m.tz"))
    good(await alice.put("/profile/@alice:a/displayname", {"displayname": ""}))
    assert good(await anybody.get("/profile/@alice:a")).keys() == {"org.example.x"}


@pytest.mark.parametrize(
    ("field", "body", "status", "errcode"),
    [
        ("displayname", {}, 400, "M_MISSING_PARAM"),
        ("displayname", {"displayname": 5}, 400, "M_BAD_JSON"),
        ("displayname", {"displayname": "x" * 257}, 400, "M_TOO_LARGE"),
        ("avatar_url", {"avatar_url": ["mxc://a/b"]}, 400, "M_BAD_JSON"),
        ("Upper", {"Upper": 1}, 400, "M_INVALID_PARAM"),
        ("_under", {"_under": 1}, 400, "M_INVALID_PARAM"),
        ("x" * 256, {"x" * 256: 1}, 400, "M_KEY_TOO_LARGE"),
        ("org.big", {"org.big": "x" * 66_000}, 400, "M_PROFILE_TOO_LARGE"),
        ("org.big", {"org.big": "x" * 100_000}, 413, "M_TOO_LARGE"),
    ],
)
@story
async def test_what_is_refused(network: Network, field: str, body: dict[str, object], status: int, errcode: str) -> None:
    alice = await registers(network.server("a"), "alice")
    refused(await alice.put(f"/profile/@alice:a/{field}", body), status, errcode)


@story
async def test_many_fields_are_limited_together(network: Network) -> None:
    alice = await registers(network.server("a"), "alice")
    for n in range(6):
        good(await alice.put(f"/profile/@alice:a/org.f{n}", {f"org.f{n}": "x" * 10_000}))
    refused(await alice.put("/profile/@alice:a/org.f6", {"org.f6": "x" * 10_000}), 400, "M_PROFILE_TOO_LARGE")
    good(await alice.put("/profile/@alice:a/org.f5", {"org.f5": "y" * 10_000}))


@story
async def test_users_elsewhere(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    bob = await registers(b, "bob")
    good(await bob.put("/profile/@bob:b/org.x", {"org.x": 1}))
    assert good(await a.stranger().get("/profile/@bob:b")) == {"displayname": "bob", "org.x": 1}
    assert good(await a.stranger().get("/profile/@bob:b/displayname")) == {"displayname": "bob"}
    refused(await a.stranger().get("/profile/@nobody:b"), 404, "M_NOT_FOUND")
    refused(await a.stranger().get("/profile/@bob:b/avatar_url"), 404, "M_NOT_FOUND")
    network.down.add("b")
    refused(await a.stranger().get("/profile/@bob:b"), 404, "M_NOT_FOUND")
    refused(await a.stranger().get("/profile/@bob:b:x"), 400, "M_INVALID_PARAM")


def test_the_member_event_of_a_profile() -> None:
    assert content({"displayname": b'"A"', "m.tz": b'"x"'}) == {"membership": "join", "displayname": "A"}
