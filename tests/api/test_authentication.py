"""The gate before what a token alone must not do, and attempts to get past it."""

from typing import Any

from homeserver.settings import Registration
from tests.api.people import logs_in, refused, registers, secret
from tests.world import Client, Network, good, story


async def gone(client: Client, device_id: str | None) -> bool:
    return (await client.get(f"/devices/{device_id}")).status == 404


@story
async def test_a_device_goes_only_with_the_password(network: Network) -> None:
    home = network.server("a")
    alice, other = await registers(home, "alice"), await logs_in(home, "alice")
    page = f"/devices/{other.device_id}"

    asked = await alice.delete(page)
    assert asked.status == 401 and asked.json["flows"] == [{"stages": ["m.login.password"]}] and asked.json["params"] == {}
    wrong = refused(await alice.delete(page, {"auth": secret("alice", "guess")}), 401, "M_FORBIDDEN")
    assert wrong["session"] and wrong["flows"] and "completed" not in wrong
    good(await other.get("/account/whoami"))

    good(await alice.delete(page, {"auth": secret("alice", session=wrong["session"])}))
    assert await gone(alice, other.device_id)
    refused(await other.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    good(await alice.delete(page, {"auth": secret("alice")}))  # gone already is as good


@story
async def test_somebody_elses_password_is_no_proof(network: Network) -> None:
    home = network.server("a")
    alice, other, _ = await registers(home, "alice"), await logs_in(home, "alice"), await registers(home, "bob", "bob's")
    for guess in ["bob's", "wrong"]:  # and the answer does not tell whether it was bob's
        refused(await alice.delete(f"/devices/{other.device_id}", {"auth": secret("bob", guess)}), 403, "M_FORBIDDEN")
    assert not await gone(alice, other.device_id)


@story
async def test_a_session_belongs_to_one_request(network: Network) -> None:
    home = network.server("a")
    alice, first, second = await registers(home, "alice"), await logs_in(home, "alice"), await logs_in(home, "alice")
    session = (await alice.delete(f"/devices/{first.device_id}")).json["session"]
    proof = {"auth": secret("alice", session=session)}
    # another path, another verb and path, another caller
    refused(await alice.delete(f"/devices/{second.device_id}", proof), 403, "M_FORBIDDEN")
    refused(await alice.post("/delete_devices", {"devices": [second.device_id], **proof}), 403, "M_FORBIDDEN")
    mallory = await registers(home, "mallory")
    refused(await mallory.delete(f"/devices/{first.device_id}", proof), 403, "M_FORBIDDEN")
    assert not await gone(alice, second.device_id)
    good(await alice.delete(f"/devices/{first.device_id}", proof))


@story
async def test_the_body_is_fixed_as_soon_as_something_is_proven(network: Network) -> None:
    home = network.server("a", registration=Registration(mode="open", terms_url="https://a/terms"))
    # A client may ask with an empty body what is needed, and use that session.
    session = (await home.stranger().post("/register", {})).json["session"]
    body = {"username": "alice", "password": "x", "auth": {"session": session}}
    assert (await home.stranger().post("/register", body)).json["session"] == session
    # The terms are accepted in a browser, for alice; now somebody else would like to be registered by that.
    page = "/_matrix/client/v3/auth/m.login.terms/fallback/web"
    assert (await home.stranger().request("POST", page, b"", session=session)).status == 200
    refused(await home.stranger().post("/register", {**body, "username": "mallory"}), 403, "M_FORBIDDEN")
    refused(await home.stranger().post("/register", {**body, "password": "y"}), 403, "M_FORBIDDEN")
    assert good(await home.stranger().post("/register", body))["user_id"] == "@alice:a"


@story
async def test_a_session_opens_once_and_not_for_ever(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice")
    page = "/_matrix/client/v1/login/get_token"
    session = (await alice.post(page, {})).json["session"]
    good(await alice.post(page, {"auth": secret("alice", session=session)}))
    again = refused(await alice.post(page, {"auth": {"session": session}}), 401, "M_UNKNOWN")
    assert again["session"] != session

    session = again["session"]
    await network.passes(31 * 60)
    refused(await alice.post(page, {"auth": secret("alice", session=session)}), 401, "M_UNKNOWN")
    # What the client makes up is not a session: nobody can plant one for another.
    planted = refused(await alice.post(page, {"auth": secret("alice", session="planted")}), 401, "M_UNKNOWN")
    assert planted["session"] != "planted"


@story
async def test_no_stage_but_those_offered(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice")
    for stage in ["m.login.dummy", "m.login.terms", "m.login.registration_token", "m.login.magic", ""]:
        refused(await alice.post("/account/deactivate", {"auth": {"type": stage, "token": "x"}}), 401, "M_UNRECOGNIZED")
    asked = (await alice.post("/account/deactivate", {"auth": {}})).json
    assert asked["flows"] == [{"stages": ["m.login.password"]}]
    # A stage completed elsewhere in the same session is not a way in, either.
    page = "/_matrix/client/v3/auth/m.login.dummy/fallback/web"
    assert (await alice.request("POST", page, b"", session=asked["session"])).status == 200
    half = await alice.post("/account/deactivate", {"auth": {"session": asked["session"]}})
    assert half.status == 401 and half.json["completed"] == ["m.login.dummy"]
    good(await alice.get("/account/whoami"))


@story
async def test_the_browser_completes_what_a_client_cannot(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice")
    session = (await alice.post("/account/deactivate", {})).json["session"]
    page = "/_matrix/client/v3/auth/m.login.password/fallback/web"

    shown = await home.stranger().get(page, session=session)
    assert shown.status == 200 and b"<form" in shown.raw and "default-src 'none'" in shown.headers["content-security-policy"]
    wrong = await home.stranger().request("POST", page, b"user=alice&password=<script>", session=session)
    assert wrong.status == 401 and b"<script>" not in wrong.raw
    done = await home.stranger().request("POST", page, b"user=alice&password=correct+horse", session=session)
    assert done.status == 200 and b"window.onAuthDone" in done.raw
    good(await alice.post("/account/deactivate", {"auth": {"session": session}}))
    assert (await home.stranger().request("POST", page, b"user=alice&password=x", session="none")).status == 400
    assert (await home.stranger().get("/auth/m.login.magic/fallback/web", session="x")).status == 404


@story
async def test_nothing_that_was_asked_for_can_be_read_from_the_database(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice")
    asked = await alice.post("/account/password", {"new_password": "my new secret"})
    assert asked.status == 401

    def everything(txn: Any) -> str:
        tables = ["accounts", "tokens", "auth_sessions", "short_tokens", "devices"]
        return repr([bytes(v) if isinstance(v, memoryview) else v for t in tables for row in txn.all(f"SELECT * FROM {t}") for v in row])

    stored = await home.server.database.read(everything)
    for hidden in ["my new secret", "correct horse", alice.token, asked.json["session"]]:
        assert hidden not in stored
