"""Messages in the form of swarms and calls, over servers: what one says in that form, others see as ordinary events, and the reverse."""

from typing import Any

from homeserver.events.swarm import names
from tests.flows.swarming import Swarm, swarm
from tests.world import Network, Reply, good, story

COMMON = ("id", "author", "deviceId", "timestamp")
SHA = "ab" * 64


async def says(room: Swarm, name: str, txn: str = "", **message: Any) -> Reply:
    message = {key.replace("_", "-"): value for key, value in message.items()}
    return await room[name].put(f"{room.path}/messages/{txn or len(room.network.log)}", message)


async def shown(room: Swarm, name: str, **query: Any) -> list[dict[str, Any]]:
    return list(good(await room[name].get(f"{room.path}/messages", **query))["messages"])


async def last(room: Swarm, name: str) -> dict[str, Any]:
    return {key: value for key, value in (await shown(room, name, limit=1))[0].items() if key not in COMMON}


@story
async def test_every_message_is_said_here_and_seen_there(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    hello = good(await says(room, "alice", type="text/plain", body="hello"))["event_id"]
    alike = {
        "text": {"type": "text/plain", "body": "hello"},
        "reply": {"type": "text/plain", "body": "you too", "reply-to": hello},
        "reaction": {"type": "text/plain", "body": "👍", "react-to": hello},
        "edit": {"type": "application/edited-message", "body": "hello all", "edit": hello},
        "call of two": {"type": "application/call-history+json", "to": room["bob"].user_id, "duration": "3000"},
        "file": {"type": "application/data-transfer+json", "tid": "1", "displayName": "a.png", "totalSize": "3000", "sha3sum": SHA},
        "call": {"type": "application/call-history+json", "uri": "alice/phone", "device": "PHONE", "confId": "c1"},
        "its end": {"type": "application/call-history+json", "uri": "alice/phone", "device": "PHONE", "confId": "c1", "duration": "9"},
    }
    for message in alike.values():
        good(await says(room, "alice", **message))
        await room.settles()
        assert await last(room, "bob") == message
    good(await says(room, "alice", type="application/update-profile", title="Jami"))
    await room.settles()
    assert (await room.state("bob", "m.room.name"))["name"] == "Jami"  # type: ignore[index]
    whole = await shown(room, "alice", limit=100)
    assert whole[-1]["type"] == "initial" and whole[-1]["mode"] == 2
    members = [(one["uri"], one["action"]) for one in reversed(whole) if one["type"] == "member"]
    assert members == [(room["alice"].user_id, "join"), (room["bob"].user_id, "add"), (room["bob"].user_id, "join")]
    page = good(await room["alice"].get(f"{room.path}/messages", limit=3))
    assert (page["messages"] + await shown(room, "alice", **{"from": page["end"], "limit": 100})) == whole
    assert all(one["deviceId"] for one in whole)


@story
async def test_ordinary_clients_and_those_of_swarms_see_the_same(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    hello = good(await says(room, "alice", "1", type="text/plain", body="hello"))["event_id"]
    assert good(await says(room, "alice", "1", type="text/plain", body="hello"))["event_id"] == hello, "the same transaction is one message"
    await room.settles()
    event = good(await room["bob"].get(f"/rooms/{room.room}/event/{hello}"))
    assert event["content"] == {"msgtype": "m.text", "body": "hello", names.DEVICE: "ALICEPHONE"}
    good(await says(room, "alice", type="application/edited-message", body="hello all", edit=hello))
    good(await room["bob"].put(f"/rooms/{room.room}/send/m.reaction/1", {
        "m.relates_to": {"rel_type": "m.annotation", "event_id": hello, "key": "👍"},
    }))  # fmt: skip
    await room.settles()
    assert await last(room, "alice") == {"type": "text/plain", "body": "👍", "react-to": hello}
    event = good(await room["bob"].get(f"/rooms/{room.room}/event/{hello}"))
    assert event["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"] == "hello all"
    good(await says(room, "alice", type="application/edited-message", body="", edit=hello))
    await room.settles()
    assert "body" not in good(await room["bob"].get(f"/rooms/{room.room}/event/{hello}"))["content"]


@story
async def test_edits_and_reactions_reach_who_was_away_though_their_author_never_returns(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    room.goes_down("carla")
    hello = good(await says(room, "alice", type="text/plain", body="hello"))["event_id"]
    good(await says(room, "alice", type="application/edited-message", body="hello all", edit=hello))
    await room.settles()
    good(await says(room, "bob", type="text/plain", body="👍", **{"react-to": hello}))
    await room.settles()
    room.goes_down("alice")
    await room.comes_back("carla")
    words = [{key: value for key, value in one.items() if key not in COMMON} for one in await shown(room, "carla", limit=3)]
    assert words == [
        {"type": "text/plain", "body": "👍", "react-to": hello},
        {"type": "application/edited-message", "body": "hello all", "edit": hello},
        {"type": "text/plain", "body": "hello"},
    ]
    event = good(await room["carla"].get(f"/rooms/{room.room}/event/{hello}"))
    assert event["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"] == "hello all"


@story
async def test_members_and_votes_are_carried_out(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    carla = room.people["carla"] = await network.server("c").user("carla", "CARLAPHONE")
    good(await says(room, "alice", type="member", uri=carla.user_id, action="add"))
    await room.settles()
    assert good(await says(room, "carla", type="member", uri=carla.user_id, action="join")) == {}
    await room.settles()
    assert await room.standing("bob", "carla") == "join"
    assert (await says(room, "alice", type="member", uri=carla.user_id, action="remove")).status == 403
    assert (await says(room, "alice", type="member", uri="@dave:c", action="join")).status == 403
    good(await says(room, "carla", type="member", uri=carla.user_id, action="remove"))
    await room.settles()
    assert await room.standing("bob", "carla") == "leave"
    assert good(await says(room, "alice", type="vote", uri=room["bob"].user_id, action="ban"))["passed"] is True
    assert await room.standing("alice", "bob") == "ban"
    assert good(await says(room, "alice", type="vote", uri=room["bob"].user_id, action="unban"))["passed"] is True
    assert await last(room, "alice") == {"type": "member", "uri": room["bob"].user_id, "action": "unban"}


@story
async def test_what_is_not_known_or_malformed_is_refused_clearly(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    unknown = await says(room, "alice", type="application/hologram", body="x")
    assert (unknown.status, unknown.json["errcode"]) == (400, "ORG_HOMESERVER_OUT_OF_DATE")
    unknown = await room["alice"].put(f"/rooms/{room.room}/send/org.example.hologram/1", {})
    assert (unknown.status, unknown.json["errcode"]) == (400, "ORG_HOMESERVER_OUT_OF_DATE")
    for wrong in (
        {"type": "text/plain"}, {"type": "text/plain", "body": 5}, {"type": "text/plain", "body": "x", "react-to": "y"},
        {"type": "application/data-transfer+json", "tid": "1", "displayName": "a", "totalSize": "-1", "sha3sum": SHA},
        {"type": "application/data-transfer+json", "tid": "1", "displayName": "a", "totalSize": "1", "sha3sum": "short"},
        {"type": "vote", "uri": "@bob:b", "action": "kick"}, {"type": "member", "uri": "bob", "action": "add"},
        {"type": "member", "uri": "@bob:b", "action": "fly"}, {"type": "vote", "uri": "", "action": "ban"},
    ):  # fmt: skip
        refused = await says(room, "alice", **wrong)
        assert refused.status == 400 and refused.json["errcode"] in ("M_BAD_JSON", "M_INVALID_PARAM"), wrong
    stranger = await room["alice"].home.user("stranger")
    assert (await stranger.put(f"{room.path}/messages/1", {"type": "text/plain", "body": "x"})).status == 404
    assert (await stranger.get(f"{room.path}/messages")).status == 404


@story
async def test_calls_are_announced_joined_and_over_also_where_the_server_was_down(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    room.goes_down("carla")
    good(await room["alice"].put(f"{room.path}/calls/c1", {"uri": "alice/PHONE/room/c1"}))
    good(await room["bob"].put(f"{room.path}/calls/c1", {"uri": "bob/TABLET/room/c1", "device": "TABLET"}))
    await room.settles()
    there = good(await room["bob"].get(f"{room.path}/calls"))
    calls = {call["host"]: (call["uri"], call["device"], call["confId"]) for call in there["calls"]}
    assert calls == {
        room["alice"].user_id: ("alice/PHONE/room/c1", "ALICEPHONE", "c1"), room["bob"].user_id: ("bob/TABLET/room/c1", "TABLET", "c1"),
    }  # fmt: skip
    assert "default" not in there
    good(await room["alice"].put(f"{room.path}/profile", {"title": "T", "call": "alice/HOME/room/default"}))
    good(await room["bob"].put(f"{room.path}/calls/c1", {"duration": 3000}))
    again = good(await room["bob"].put(f"{room.path}/calls/c1", {"duration": 4000}))
    await room.comes_back("carla")
    there = good(await room["carla"].get(f"{room.path}/calls"))
    assert [call["host"] for call in there["calls"]] == [room["alice"].user_id] and there["default"] == "alice/HOME/room/default"
    ended = good(await room["carla"].get(f"/rooms/{room.room}/event/{again['event_id']}"))["content"]
    assert ended["duration"] == 3000 and ended["uri"] == "bob/TABLET/room/c1", "it was over already"
    assert (await room["carla"].put(f"{room.path}/calls/c1", {"duration": 1})).status == 404, "only the host ends a call"
    good(await room["alice"].post(f"/rooms/{room.room}/leave", {}))
    await room.settles()
    assert good(await room["bob"].get(f"{room.path}/calls"))["calls"] == [], "who hosts it has left"


@story
async def test_a_host_has_so_many_calls_and_none_on_a_banned_device(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    for number in range(20):
        good(await room["bob"].put(f"{room.path}/calls/c{number}", {"uri": "x", "device": "TABLET"}))
    assert (await room["bob"].put(f"{room.path}/calls/one-more", {"uri": "x"})).status == 403
    good(await room["bob"].put(f"{room.path}/calls/c1", {"duration": 1}))
    good(await room["bob"].put(f"{room.path}/calls/one-more", {"uri": "x"}))
    await room.settles()
    ban = {"action": "ban", "kind": "device", "target": room["bob"].user_id, "target_device": "TABLET"}
    good(await room["alice"].put(f"{room.path}/votes", ban))
    (left,) = good(await room["alice"].get(f"{room.path}/calls"))["calls"]
    assert left["confId"] == "one-more"
    for wrong in ({}, {"uri": "x", "duration": 1}, {"uri": ""}, {"duration": -1}, {"duration": "1"}):
        assert (await room["alice"].put(f"{room.path}/calls/c1", wrong)).status == 400
