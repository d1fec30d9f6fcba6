"""Making accounts, and attempts to make them where one may not."""

import hashlib
import hmac

import pytest

from homeserver.accounts import registration
from homeserver.settings import Registration
from homeserver.units import Secret
from tests.api.people import DUMMY, PASSWORD, logs_in, refused, registers
from tests.world import Home, Network, good, story

BY_TOKEN = Registration(mode="token")


async def token(home: Home, **bounds: object) -> str:
    made = await home.server.database.write(registration.new_token, home.server.clock.now(), **bounds)
    return made.token


@story
async def test_registering_is_one_request_when_the_way_is_known(network: Network) -> None:
    home = network.server("a")
    asked = await home.stranger().post("/register", {})
    assert asked.status == 401 and asked.json["flows"] == [{"stages": ["m.login.dummy"]}]
    assert "errcode" not in asked.json

    alice = await registers(home, "Alice", device_id="PHONE", initial_device_display_name="Phone")
    assert (alice.user_id, alice.device_id) == ("@alice:a", "PHONE")
    assert good(await alice.get("/account/whoami")) == {"user_id": "@alice:a", "device_id": "PHONE", "is_guest": False}
    assert good(await alice.get("/devices/PHONE"))["display_name"] == "Phone"
    assert good(await alice.get("/profile/@alice:a")) == {"displayname": "alice"}
    assert good(await (await logs_in(home, "alice")).get("/account/whoami"))["user_id"] == "@alice:a"


@story
async def test_inhibited_login_gives_no_token(network: Network) -> None:
    anybody = network.server("a").stranger()
    answer = good(await anybody.post("/register", {"username": "x", "password": "p", "inhibit_login": True, "auth": DUMMY}))
    assert answer == {"user_id": "@x:a", "home_server": "a"}


@story
async def test_names(network: Network) -> None:
    home = network.server("a")
    anybody = home.stranger()
    await registers(home, "taken")
    for bad in ["", "us er", "us,er", "user:", "@user:a", "é", "user\n", "_bot", "x" * 300, "a!"]:
        refused(await anybody.get("/register/available", username=bad), 400, "M_INVALID_USERNAME")
        refused(await anybody.post("/register", {"username": bad, "password": "p", "auth": DUMMY}), 400, "M_INVALID_USERNAME")
    for good_name in ["q", "3", ".", "x=", "x-/+y"]:
        assert good(await anybody.get("/register/available", username=good_name)) == {"available": True}
    refused(await anybody.get("/register/available", username="taken"), 400, "M_USER_IN_USE")
    # Before anything is proven, too.
    refused(await anybody.post("/register", {"username": "TAKEN", "password": "p"}), 400, "M_USER_IN_USE")


@pytest.mark.parametrize(
    "body",
    [
        {"username": 1},
        {"password": ["x"]},
        {"device_id": {}},
        {"inhibit_login": "yes"},
        {"auth": "x"},
        {"auth": {"session": 5}},
        {"auth": {"type": []}},
    ],
)
@story
async def test_wrong_types_are_refused(network: Network, body: dict[str, object]) -> None:
    anybody = network.server("a").stranger()
    refused(await anybody.post("/register", {"username": "x", "password": "p", "auth": DUMMY, **body}), 400, "M_BAD_JSON")


@story
async def test_a_closed_server_stays_closed(network: Network) -> None:
    home = network.server("a", registration=Registration(mode="closed"))
    anybody = home.stranger()
    refused(await anybody.post("/register", {}), 403, "M_FORBIDDEN")
    refused(await anybody.post("/register", {"username": "x", "password": "p", "auth": DUMMY}), 403, "M_FORBIDDEN")
    refused(await anybody.post("/register?kind=guest", {}), 403, "M_FORBIDDEN")
    refused(await anybody.get("/_matrix/client/v1/register/m.login.registration_token/validity", token="x"), 403, "M_FORBIDDEN")


@story
async def test_a_token_is_good_for_so_many(network: Network) -> None:
    home = network.server("a", registration=BY_TOKEN)
    anybody, word = home.stranger(), await token(home, uses=1)

    async def attempt(name: str, said: str, **more: object) -> object:
        auth = {"type": "m.login.registration_token", "token": said, **more}
        return await anybody.post("/register", {"username": name, "password": "p", "auth": auth})

    refused(await anybody.post("/register", {"username": "x", "password": "p", "auth": DUMMY}), 401, "M_UNRECOGNIZED")
    refused(await attempt("x", "guess"), 401, "M_UNAUTHORIZED")
    assert good(await anybody.get("/_matrix/client/v1/register/m.login.registration_token/validity", token=word)) == {"valid": True}
    assert (await attempt("first", word)).status == 200
    assert good(await anybody.get("/_matrix/client/v1/register/m.login.registration_token/validity", token=word)) == {"valid": False}
    refused(await attempt("second", word), 401, "M_UNAUTHORIZED")


@story
async def test_who_passed_the_stage_keeps_the_use_for_a_while(network: Network) -> None:
    home = network.server("a", registration=Registration(mode="token", terms_url="https://a/terms"))
    anybody, word = home.stranger(), await token(home, uses=1)
    auth = {"type": "m.login.registration_token", "token": word}
    body = {"username": "first", "password": "p"}
    half = await anybody.post("/register", {**body, "auth": auth})
    assert half.status == 401 and half.json["completed"] == ["m.login.registration_token"]
    assert half.json["params"]["m.login.terms"]["policies"]["terms_of_service"]["en"]["url"] == "https://a/terms"
    # Reserved: nobody else gets it, unless the first one gives up.
    refused(await anybody.post("/register", {"username": "other", "password": "p", "auth": auth}), 401, "M_UNAUTHORIZED")
    terms = {"type": "m.login.terms", "session": half.json["session"]}
    good(await anybody.post("/register", {**body, "auth": terms}))
    # The session was used up with the account.
    refused(await anybody.post("/register", {**body, "username": "again", "auth": terms}), 401, "M_UNKNOWN")


@story
async def test_tokens_expire_and_are_revoked(network: Network) -> None:
    home = network.server("a", registration=BY_TOKEN)
    page, anybody = "/_matrix/client/v1/register/m.login.registration_token/validity", home.stranger()
    short = await token(home, uses=None, expires_ts=home.server.clock.now() + 10_000)
    word = await token(home, token="welcome", uses=None)
    assert good(await anybody.get(page, token=short))["valid"] and good(await anybody.get(page, token=word))["valid"]
    await network.passes(11)
    await home.server.database.write(registration.revoke_token, word)
    assert not good(await anybody.get(page, token=short))["valid"] and not good(await anybody.get(page, token=word))["valid"]


@story
async def test_guests_where_they_are_allowed(network: Network) -> None:
    home = network.server("a", registration=Registration(mode="open", guests=True))
    answer = good(await home.stranger().post("/register?kind=guest", {"device_id": "MINE", "username": "x"}))
    assert answer["device_id"] != "MINE" and answer["user_id"] != "@x:a"
    guest = home.stranger(answer["access_token"])
    me = answer["user_id"]
    assert good(await guest.get("/account/whoami"))["is_guest"] is True
    refused(await guest.post("/account/deactivate", {}), 403, "M_GUEST_ACCESS_FORBIDDEN")
    good(await guest.put(f"/profile/{me}/displayname", {"displayname": "G"}))
    refused(await guest.put(f"/profile/{me}/avatar_url", {"avatar_url": "mxc://a/b"}), 403, "M_GUEST_ACCESS_FORBIDDEN")

    # A guest becomes a user, and only itself.
    name = me[1:].partition(":")[0]
    body = {"username": name, "password": PASSWORD, "auth": DUMMY, "guest_access_token": answer["access_token"]}
    refused(await guest.post("/register", {**body, "username": "other"}), 403, "M_FORBIDDEN")
    grown = good(await home.stranger().post("/register", body))
    assert grown["user_id"] == me
    assert good(await home.stranger(grown["access_token"]).get("/account/whoami"))["is_guest"] is False
    refused(await guest.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")


def signed(secret: str, nonce: str, name: str, password: str, admin: bool) -> dict[str, object]:
    text = "\0".join([nonce, name, password, "admin" if admin else "notadmin"])
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()
    return {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac}


@story
async def test_the_shared_secret(network: Network) -> None:
    home = network.server("a", registration=Registration(mode="closed", shared_secret=Secret("key")))
    program, page = home.stranger(), "/_synapse/admin/v1/register"

    async def nonce() -> str:
        return good(await program.get(page))["nonce"]

    first = signed("key", await nonce(), "Root", "p", admin=True)
    assert good(await program.post(page, first))["user_id"] == "@root:a"
    again = signed("key", str(first["nonce"]), "again", "p", admin=True)
    refused(await program.post(page, again), 400, "M_UNKNOWN")  # a nonce is used once
    refused(await program.post(page, signed("guess", await nonce(), "eve", "p", admin=True)), 403, "M_FORBIDDEN")
    asked = signed("key", await nonce(), "eve", "p", admin=False)
    refused(await program.post(page, {**asked, "admin": True}), 403, "M_FORBIDDEN")
    late = signed("key", await nonce(), "late", "p", admin=False)
    await network.passes(61)
    refused(await program.post(page, late), 400, "M_UNKNOWN")


@story
async def test_no_secret_no_nonce(network: Network) -> None:
    refused(await network.server("a").stranger().get("/_synapse/admin/v1/register"), 400, "M_UNKNOWN")
