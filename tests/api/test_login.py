"""Logging in and out, tokens that end, and guesses."""

import pytest

from homeserver.accounts.passwords import Cost
from homeserver.settings import RateLimits
from tests.api.people import DUMMY, PASSWORD, logs_in, named, refused, registers, secret, with_token
from tests.world import Network, good, story


@story
async def test_one_may_be_named_in_several_ways(network: Network) -> None:
    home = network.server("a")
    await registers(home, "alice")
    for name in ["alice", "@alice:a", "ALICE", "@Alice:a"]:
        assert (await logs_in(home, name)).user_id == "@alice:a"
    older = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    assert good(await home.stranger().post("/login", older))["user_id"] == "@alice:a"


@story
async def test_a_wrong_name_and_a_wrong_password_look_alike(network: Network) -> None:
    home = network.server("a")
    await registers(home, "alice")
    answers = [
        await home.stranger().post("/login", secret(name, "guess"))
        for name in ["alice", "nobody", "@nobody:a", "@alice:elsewhere", "a" * 300, "@", "@:a"]
    ]
    assert len({(reply.status, reply.raw) for reply in answers}) == 1
    refused(answers[0], 403, "M_FORBIDDEN")
    unknown = {"type": "m.login.password", "identifier": {"medium": "email", "address": "x@y.z"}, "password": "p"}
    refused(await home.stranger().post("/login", unknown), 403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": 3},
        {"type": "m.login.password"},
        {"type": "m.login.password", "password": "x"},
        {"type": "m.login.password", "identifier": "alice", "password": "x"},
        {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": 7}, "password": "x"},
        {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": ["x"]},
        {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "x", "device_id": 4},
        {"type": "m.login.token", "token": 1},
    ],
)
@story
async def test_wrong_types(network: Network, body: dict[str, object]) -> None:
    refused(await network.server("a").stranger().post("/login", body), 400, "M_BAD_JSON")


@story
async def test_odd_devices_and_unknown_ways(network: Network) -> None:
    home = network.server("a")
    await registers(home, "alice")
    refused(await home.stranger().post("/login", {"type": "m.login.magic"}), 400, "M_UNKNOWN")
    refused(await home.stranger().post("/login", secret("alice", device_id="")), 400, "M_INVALID_PARAM")
    refused(await home.stranger().post("/login", secret("alice", device_id="x" * 300)), 400, "M_INVALID_PARAM")
    refused(await home.stranger().post("/login", secret("alice", initial_device_display_name="x" * 300)), 400, "M_TOO_LARGE")
    refused(await home.stranger().post("/login", secret("alice", "x" * 10_000)), 403, "M_FORBIDDEN")


@story
async def test_a_device_has_one_session(network: Network) -> None:
    home = network.server("a")
    first = await registers(home, "alice", device_id="PHONE")
    good(await first.get("/account/whoami"))
    second = await logs_in(home, "alice", device_id="PHONE")
    assert refused(await first.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")["soft_logout"] is False
    good(await second.get("/account/whoami"))
    assert len(good(await second.get("/devices"))["devices"]) == 1


@story
async def test_logging_out(network: Network) -> None:
    home = network.server("a")
    phone, laptop, tablet = await registers(home, "alice"), await logs_in(home, "alice"), await logs_in(home, "alice")
    for client in (phone, laptop, tablet):
        good(await client.get("/account/whoami"))
    good(await phone.post("/logout"))
    refused(await phone.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    assert {one["device_id"] for one in good(await laptop.get("/devices"))["devices"]} == {laptop.device_id, tablet.device_id}
    good(await laptop.post("/logout/all", {}))
    refused(await tablet.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    refused(await home.stranger().post("/logout"), 401, "M_MISSING_TOKEN")
    refused(await home.stranger("guess").post("/logout"), 401, "M_UNKNOWN_TOKEN")


@story
async def test_refreshing(network: Network) -> None:
    home = network.server("a")
    answer = good(await home.stranger().post("/register", {"username": "x", "password": "p", "refresh_token": True, "auth": DUMMY}))
    assert answer["expires_in_ms"] == 3_600_000
    old, spare = home.stranger(answer["access_token"]), {"refresh_token": answer["refresh_token"]}

    lost = good(await old.post("/refresh", spare))  # the answer that the client never saw
    await network.passes(61)
    new = good(await old.post("/refresh", spare))
    assert len({answer["access_token"], lost["access_token"], new["access_token"]}) == 3
    good(await old.get("/account/whoami"))  # not used yet, so the old one is good
    client = with_token(old, new["access_token"])
    good(await client.get("/account/whoami"))
    refused(await old.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    for gone in (answer, lost):
        refused(await old.post("/refresh", {"refresh_token": gone["refresh_token"]}), 401, "M_UNKNOWN_TOKEN")

    await network.passes(3601)
    assert refused(await client.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")["soft_logout"] is True
    # Refreshing, not only asking, shows that the tokens arrived.
    newer = good(await client.post("/refresh", {"refresh_token": new["refresh_token"]}))
    newest = good(await client.post("/refresh", {"refresh_token": newer["refresh_token"]}))
    refused(await client.post("/refresh", {"refresh_token": new["refresh_token"]}), 401, "M_UNKNOWN_TOKEN")
    good(await with_token(client, newest["access_token"]).post("/logout"))
    for gone in (new, newer, newest):
        refused(await client.post("/refresh", {"refresh_token": gone["refresh_token"]}), 401, "M_UNKNOWN_TOKEN")


@story
async def test_an_access_token_is_no_refresh_token(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice", refresh_token=True)
    refused(await alice.post("/refresh", {"refresh_token": alice.token}), 401, "M_UNKNOWN_TOKEN")
    spare = good(await home.stranger().post("/login", secret("alice", refresh_token=True)))["refresh_token"]
    refused(await home.stranger(spare).get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")


@story
async def test_one_session_helps_another_once(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice")
    page = "/_matrix/client/v1/login/get_token"
    asked = await alice.post(page, {})
    assert asked.status == 401 and asked.json["flows"] == [{"stages": ["m.login.password"]}]
    token = good(await alice.post(page, {"auth": secret("alice")}))["login_token"]
    assert good(await home.stranger().post("/login", {"type": "m.login.token", "token": token}))["user_id"] == "@alice:a"
    refused(await home.stranger().post("/login", {"type": "m.login.token", "token": token}), 403, "M_FORBIDDEN")
    late = good(await alice.post(page, {"auth": secret("alice")}))["login_token"]
    await network.passes(121)
    refused(await home.stranger().post("/login", {"type": "m.login.token", "token": late}), 403, "M_FORBIDDEN")
    refused(await home.stranger(token).get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")


@story
async def test_guessing_is_slow(network: Network) -> None:
    home = network.server("a", rate_limits=RateLimits())
    await registers(home, "alice")
    anybody = home.stranger()
    answers = [(await anybody.post("/login", secret("alice", f"guess {n}"))).status for n in range(7)]
    assert answers == [403] * 5 + [429] * 2
    # The right password does not help now: an attacker must not learn that it was right.
    limited = await anybody.post("/login", secret("alice"))
    assert limited.status == 429 and limited.json["retry_after_ms"] > 0
    await network.passes(60)
    good(await anybody.post("/login", secret("alice")))


@story
async def test_a_change_of_cost_is_followed(network: Network) -> None:
    home = network.server("a")
    await registers(home, "alice")
    database = home.server.database

    def stored(txn: object) -> str:
        return txn.value("SELECT password_hash FROM accounts WHERE user_id = '@alice:a'")  # type: ignore[attr-defined]

    before = await database.read(stored)
    home.server.operator.passwords.cost = Cost(2, 8, 1)
    await logs_in(home, "alice")
    after = await database.read(stored)
    assert "t=2" in after and "t=2" not in before
    await logs_in(home, "alice")
    assert PASSWORD not in after and named("alice")["user"] == "alice"
