"""Who application services may be, what they keep for themselves, and what they are asked."""

import pytest

from homeserver.appservices.registration import read_text
from homeserver.events.identifiers import ServerName
from homeserver.settings import BadSettings
from tests.appservices.rig import REGISTRATION, bridged
from tests.world import Network, good, story


def test_mistakes_are_told_with_line_and_key() -> None:
    source = "id: irc\nurl: ftp://x\nhs_token: b\nsender_localpart: 'Bad Name'\nrate_limited: 7\n"
    source += "namespaces:\n  users:\n    - {regex: '('}\n"
    with pytest.raises(BadSettings) as error:
        read_text(source, "irc.yaml", ServerName("a"))
    told = str(error.value)
    for part in ("line 1: as_token: is missing", "line 2: url", "line 4: sender_localpart", "line 5: rate_limited",
                 "line 8: namespaces.users[0].regex"):  # fmt: skip
        assert part in told, told


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(read_text(REGISTRATION, "irc.yaml", ServerName("a")))


@story
async def test_names_are_kept_for_the_service(network: Network) -> None:
    bridge = bridged(network)
    people = bridge.home.stranger()
    alice = await bridge.home.user("alice")
    for name in ("irc_bob", "ircbot"):
        body = {"username": name, "password": "x", "auth": {"type": "m.login.dummy"}}
        assert (await people.post("/register", body)).json["errcode"] == "M_EXCLUSIVE"
    await bridge.ghost("irc_bob")
    outside = {"type": "m.login.application_service", "username": "carol"}
    assert (await bridge.as_user().client.post("/register", outside)).json["errcode"] == "M_EXCLUSIVE"
    room = good(await alice.post("/createRoom", {}))["room_id"]
    alias = "/directory/room/%23irc_x:a"
    assert (await alice.put(alias, {"room_id": room})).json["errcode"] == "M_EXCLUSIVE"
    assert (await alice.post("/createRoom", {"room_alias_name": "irc_x"})).json["errcode"] == "M_EXCLUSIVE"
    own = good(await bridge.as_user().post("/createRoom", {"room_alias_name": "irc_x"}))["room_id"]
    assert good(await alice.get(alias))["room_id"] == own
    assert (await alice.delete(alias)).json["errcode"] == "M_EXCLUSIVE"


@story
async def test_a_service_acts_as_its_users_only(network: Network) -> None:
    bridge = bridged(network)
    alice = await bridge.home.user("alice")
    ghost = await bridge.ghost("irc_bob")
    assert good(await ghost.get("/account/whoami"))["user_id"] == ghost.user_id
    assert good(await bridge.as_user().get("/account/whoami"))["user_id"] == "@ircbot:a"
    assert (await bridge.as_user("alice").get("/account/whoami")).status == 403
    assert (await bridge.as_user("irc_nobody").get("/account/whoami")).status == 403
    assert (await bridge.as_user().client.get("/account/whoami", user_id="@irc_bob:elsewhere")).status == 403
    assert (await alice.get("/account/whoami", user_id=ghost.user_id)).json["user_id"] == alice.user_id


@story
async def test_a_service_says_when_its_events_happened_and_others_do_not(network: Network) -> None:
    bridge = bridged(network)
    alice, ghost = await bridge.home.user("alice"), await bridge.ghost("irc_bob")
    room = good(await ghost.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await alice.post(f"/join/{room}"))
    for who, expected in ((ghost, True), (alice, False)):
        sent = good(await who.put(f"/rooms/{room}/send/m.room.message/1", {"body": "then"}, ts=1234))["event_id"]
        event = good(await alice.get(f"/rooms/{room}/event/{sent}"))
        assert (event["origin_server_ts"] == 1234) is expected


@story
async def test_devices_without_a_login(network: Network) -> None:
    """MSC4190: made and removed without proof of who one is, used by naming them."""
    bridge = bridged(network)
    ghost = await bridge.ghost("irc_bob")
    assert (await ghost.put("/devices/ONE", {"display_name": "bridge"})).status == 201
    assert (await ghost.put("/devices/ONE", {"display_name": "again"})).status == 200
    device = bridge.as_user("irc_bob", device_id="ONE")
    assert good(await device.get("/account/whoami"))["device_id"] == "ONE"
    assert (await bridge.as_user("irc_bob", device_id="TWO").get("/account/whoami")).status == 400
    good(await ghost.delete("/devices/ONE", {}))
    assert good(await ghost.get("/devices"))["devices"] == []


@story
async def test_login_as_a_service(network: Network) -> None:
    bridge = bridged(network)
    await bridge.ghost("irc_bob")
    body = {"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": "irc_bob"}}
    assert good(await bridge.as_user().client.post("/login", body))["access_token"]
    assert (await bridge.home.stranger().post("/login", body)).status == 401
    body["identifier"]["user"] = "alice"
    await bridge.home.user("alice")
    assert (await bridge.as_user().client.post("/login", body)).json["errcode"] == "M_EXCLUSIVE"


@story
async def test_pings(network: Network) -> None:
    bridge = bridged(network)
    service, path = bridge.as_user().client, "/_matrix/client/v1/appservice/irc/ping"
    assert (await service.post(path, {"transaction_id": "x"})).json["errcode"] == "M_BAD_STATUS"
    bridge.answers["_matrix/app/v1/ping"] = {}
    assert good(await service.post(path, {"transaction_id": "x"}))["duration_ms"] >= 0
    assert (await service.post("/_matrix/client/v1/appservice/other/ping", {})).status == 403
    assert (await (await bridge.home.user("alice")).post(path, {})).status == 403
    network.pages.clear()
    assert (await service.post(path, {})).json["errcode"] == "M_CONNECTION_FAILED"


@story
async def test_users_and_rooms_are_made_upon_the_question(network: Network) -> None:
    bridge = bridged(network)
    alice = await bridge.home.user("alice")
    room = good(await alice.post("/createRoom", {}))["room_id"]

    async def make_user():
        await bridge.ghost("irc_new")
        return {}

    async def make_room():
        return good(await bridge.as_user().post("/createRoom", {"room_alias_name": "irc_chan", "preset": "public_chat"}))

    bridge.answers["_matrix/app/v1/users/%40irc_new%3Aa"] = make_user
    bridge.answers["_matrix/app/v1/rooms/%23irc_chan%3Aa"] = make_room
    good(await alice.post(f"/rooms/{room}/invite", {"user_id": "@irc_new:a"}))
    good(await bridge.as_user("irc_new").post(f"/join/{room}"))
    good(await alice.post("/join/%23irc_chan:a"))
    assert (await alice.get("/directory/room/%23irc_none:a")).status == 404
    assert (await alice.get("/directory/room/%23other:a")).status == 404
    assert len(bridge.asked) == 3


@story
async def test_third_party_networks(network: Network) -> None:
    bridge = bridged(network, "protocols: [irc]\n")
    alice = await bridge.home.user("alice")
    bridge.answers["_matrix/app/v1/thirdparty/protocol/irc"] = {"instances": [{"desc": "Libera"}], "user_fields": []}
    bridge.answers["_matrix/app/v1/thirdparty/user/irc?nick=bob"] = [{"userid": "@irc_bob:a", "protocol": "irc", "fields": {}}, 7]
    assert good(await alice.get("/thirdparty/protocols"))["irc"]["instances"]
    assert (await alice.get("/thirdparty/protocol/xmpp")).status == 404
    assert [one["userid"] for one in good(await alice.get("/thirdparty/user/irc", nick="bob"))] == ["@irc_bob:a"]
    assert (await alice.get("/thirdparty/location/xmpp")).status == 404
