"""Notices of the operators: told in one room, which nobody can refuse and everybody may leave."""

from tests.world import Network, good, story

SEND = "/_synapse/admin/v1/send_server_notice"


@story
async def test_a_notice_is_told_once_in_one_room(network: Network) -> None:
    home = network.server("a")
    admin, alice = await home.user("admin", admin=True), await home.user("alice")
    body = {"user_id": alice.user_id, "content": {"msgtype": "m.text", "body": "hello"}}
    assert (await alice.post(SEND, body)).json["errcode"] == "M_FORBIDDEN"
    assert (await alice.post(SEND)).status == 403
    sent = good(await admin.post(SEND, body))["event_id"]
    invites = good(await alice.get("/sync"))["rooms"]["invite"]
    (room,) = invites
    assert invites[room]["invite_state"]["events"][0]["sender"] == "@_server:a"
    refused = await alice.post(f"/rooms/{room}/leave", {})
    assert (refused.status, refused.json["errcode"]) == (403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")
    good(await alice.post(f"/join/{room}"))
    assert good(await alice.get(f"/rooms/{room}/event/{sent}"))["content"]["body"] == "hello"
    tags = good(await alice.get(f"/user/{alice.user_id}/rooms/{room}/tags"))["tags"]
    assert list(tags) == ["m.server_notice"]
    assert (await alice.put(f"/rooms/{room}/send/m.room.message/1", {"body": "no"})).status == 403
    good(await alice.post(f"/rooms/{room}/leave", {}))
    once = [good(await admin.put(f"{SEND}/1", body))["event_id"] for _ in range(2)]
    assert once[0] == once[1] != sent
    assert list(good(await alice.get("/sync"))["rooms"]["invite"]) == [room]


@story
async def test_whom_no_notice_reaches(network: Network) -> None:
    home = network.server("a")
    admin, alice = await home.user("admin", admin=True), await home.user("alice")
    content = {"msgtype": "m.text", "body": "hello"}
    assert (await admin.post(SEND, {"user_id": "@nobody:a", "content": content})).status == 404
    assert (await admin.post(SEND, {"user_id": "@carol:b", "content": content})).status == 400
    assert (await admin.post(SEND, {"user_id": "alice", "content": content})).status == 400
    good(await admin.post(SEND, {"user_id": alice.user_id, "content": content}))
    await home.server.accounts.closing.deactivate(alice.user_id, False)
    assert (await admin.post(SEND, {"user_id": alice.user_id, "content": content})).status == 404
