"""Accounts in the hands of operators."""

import pytest

from tests.world import Network, good, story

V1, V2 = "/_synapse/admin/v1", "/_synapse/admin/v2"


@story
async def test_nobody_but_administrators_gets_in(network: Network) -> None:
    home = network.server("a", registration=network.server("x").server.settings.registration)
    alice = await home.user("alice")
    for endpoint in home.server.router.endpoints():
        path, method = endpoint.route.path, endpoint.route.method
        if not path.startswith("/_synapse/admin/") or path.endswith(("/register", "/server_version")):
            continue
        if "whois" in path:
            continue  # of oneself one may ask
        assert endpoint.route.options.admin, path
        for name, value in (("{room_id}", "!x:a"), ("{user_id}", "@alice:a"), ("{server}", "b")):
            path = path.replace(name, value)
        answer = await alice.request(method, path, {})
        assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN"), (method, path)
    assert (await alice.get(f"{V1}/whois/@bob:a")).status == 403
    assert "server_version" in good(await home.stranger().get(f"{V1}/server_version"))


@story
async def test_accounts_are_made_listed_and_changed(network: Network) -> None:
    home = network.server("a")
    admin = await home.user("admin", admin=True)
    made = await admin.put(f"{V2}/users/@bob:a", {"password": "secret", "displayname": "Bob"})
    assert (made.status, made.json["displayname"]) == (201, "Bob")
    assert (await admin.put(f"{V2}/users/@bob:a", {"admin": True})).json["admin"] is True
    assert good(await admin.get(f"{V1}/users/@bob:a/admin")) == {"admin": True}
    for number in range(5):
        await home.user(f"user{number}")
    page = good(await admin.get(f"{V2}/users", limit=3, order_by="name"))
    assert [user["name"] for user in page["users"]] == ["@admin:a", "@bob:a", "@user0:a"]
    assert (page["total"], page["next_token"]) == (7, "3")
    rest = good(await admin.get(f"{V2}/users", **{"from": 3, "limit": 100}))
    assert [user["name"] for user in rest["users"]] == [f"@user{number}:a" for number in range(1, 5)]
    assert "next_token" not in rest
    assert good(await admin.get(f"{V2}/users", name="USER4"))["total"] == 1
    assert good(await admin.get(f"{V2}/users", name="%"))["total"] == 0
    assert good(await admin.get(f"{V2}/users", order_by="name; DROP TABLE accounts"))["total"] == 7
    assert (await admin.get(f"{V2}/users/@nobody:a")).status == 404
    assert (await admin.get(f"{V2}/users/@bob:elsewhere")).status == 400
    assert (await admin.put(f"{V2}/users/@admin:a", {"admin": False})).status == 403
    assert (await admin.put(f"{V2}/users/@no name:a", {})).status == 400


@story
async def test_passwords_deactivation_and_return(network: Network) -> None:
    home = network.server("a")
    admin, bob = await home.user("admin", admin=True), await home.user("bob")
    good(await admin.post(f"{V1}/reset_password/@bob:a", {"new_password": "new", "logout_devices": False}))
    assert (await bob.get("/account/whoami")).status == 200
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "bob"}, "password": "new"}
    assert (await home.stranger().post("/login", login)).status == 200
    good(await admin.post(f"{V1}/deactivate/@bob:a", {"erase": True}))
    assert (await bob.get("/account/whoami")).status == 401
    assert good(await admin.get(f"{V2}/users", name="bob"))["total"] == 0
    assert good(await admin.get(f"{V2}/users", name="bob", deactivated="true"))["total"] == 1
    assert (await admin.put(f"{V2}/users/@bob:a", {"deactivated": False})).status == 400
    assert good(await admin.put(f"{V2}/users/@bob:a", {"deactivated": False, "password": "again"}))["deactivated"] is False
    assert (await home.stranger().post("/login", {**login, "password": "again"})).status == 200


@story
async def test_sessions_belongings_and_acting_as_somebody(network: Network) -> None:
    home = network.server("a")
    admin, bob = await home.user("admin", admin=True), await home.user("bob", "PHONE")
    room = good(await bob.post("/createRoom", {}))["room_id"]
    good(await bob.put("/user/@bob:a/account_data/m.test", {"x": 1}))
    assert good(await admin.get(f"{V2}/users/@bob:a/devices"))["devices"][0]["device_id"] == "PHONE"
    assert good(await admin.get(f"{V1}/users/@bob:a/joined_rooms")) == {"joined_rooms": [room], "total": 1}
    assert good(await admin.get(f"{V1}/users/@bob:a/memberships")) == {"memberships": {room: "join"}}
    assert good(await admin.get(f"{V1}/users/@bob:a/accountdata"))["account_data"]["global"]["m.test"] == {"x": 1}
    assert good(await admin.get(f"{V1}/users/@bob:a/pushers"))["total"] == 0
    token = good(await admin.post(f"{V1}/users/@bob:a/login", {}))["access_token"]
    puppet = home.stranger(token)
    assert good(await puppet.get("/account/whoami"))["user_id"] == bob.user_id
    good(await admin.delete(f"{V2}/users/@bob:a/devices/PHONE"))
    assert (await bob.get("/account/whoami")).status == 401
    good(await admin.put(f"{V1}/suspend/@bob:a", {"suspend": True}))
    assert (await puppet.put(f"/rooms/{room}/send/m.room.message/1", {})).json["errcode"] == "M_USER_SUSPENDED"


@story
async def test_registration_tokens(network: Network) -> None:
    admin = await network.server("a").user("admin", admin=True)
    path = f"{V1}/registration_tokens"
    made = good(await admin.post(f"{path}/new", {"uses_allowed": 3, "length": 8}))
    assert len(made["token"]) == 8
    assert good(await admin.put(f"{path}/{made['token']}", {"uses_allowed": None}))["uses_allowed"] is None
    assert good(await admin.get(path))["registration_tokens"][0]["token"] == made["token"]
    assert good(await admin.get(path, valid="false"))["registration_tokens"] == []
    assert (await admin.put(f"{path}/{made['token']}", {"uses_allowed": -1})).status == 400
    assert (await admin.post(f"{path}/new", {"token": "not allowed!"})).status == 400
    good(await admin.delete(f"{path}/{made['token']}"))
    assert (await admin.get(f"{path}/{made['token']}")).status == 404


@pytest.mark.parametrize("action", ["quarantine", "unquarantine"])
@story
async def test_media_that_is_not_there(network: Network, action: str) -> None:
    admin = await network.server("a").user("admin", admin=True)
    assert (await admin.post(f"{V1}/media/{action}/a/nothing")).status == 404


@story
async def test_files_are_hidden_protected_and_deleted(network: Network) -> None:
    home = network.server("a")
    admin, bob = await home.user("admin", admin=True), await home.user("bob")
    uri = good(await bob.request("POST", "/_matrix/media/v3/upload", b"hello", {"content-type": "text/plain"}))["content_uri"]
    media_id = uri.rpartition("/")[2]
    download = f"/_matrix/client/v1/media/download/a/{media_id}"
    assert (await bob.get(download)).raw == b"hello"
    assert good(await admin.get(f"{V1}/users/@bob:a/media"))["media"][0]["media_id"] == media_id
    good(await admin.post(f"{V1}/media/protect/{media_id}"))
    assert (await admin.post(f"{V1}/media/quarantine/a/{media_id}")).status == 404
    good(await admin.post(f"{V1}/media/unprotect/{media_id}"))
    good(await admin.post(f"{V1}/media/quarantine/a/{media_id}"))
    assert (await bob.get(download)).status == 404
    good(await admin.post(f"{V1}/media/unquarantine/a/{media_id}"))
    assert good(await admin.post(f"{V1}/user/@bob:a/media/quarantine")) == {"num_quarantined": 1}
    assert good(await admin.delete(f"{V1}/media/a/{media_id}"))["total"] == 1
    assert (await admin.delete(f"{V1}/media/a/{media_id}")).status == 404


@story
async def test_other_servers(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    admin, bob = await a.user("admin", admin=True), await b.user("bob")
    room = good(await admin.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}", via="a"))
    path = f"{V1}/federation/destinations"
    assert [one["destination"] for one in good(await admin.get(path))["destinations"]] in (["a", "b"], ["b"])
    assert good(await admin.get(f"{path}/b"))["failure_ts"] is None
    assert [one["room_id"] for one in good(await admin.get(f"{path}/b/rooms"))["rooms"]] == [room]
    assert (await admin.get(f"{path}/nowhere")).status == 404
    good(await admin.post(f"{path}/b/reset_connection"))
