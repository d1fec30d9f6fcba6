"""Jumping to a time, reporting, relays of calls."""

import hmac
from base64 import b64encode
from dataclasses import replace
from typing import Any

from homeserver.settings import Duration, Secret, Turn
from homeserver.storage import directory
from tests.world import EPOCH_MS, SETTINGS, Client, Network, good, story

COUNT = iter(range(10_000))


async def says(who: Client, room: str, body: str) -> str:
    content = {"msgtype": "m.text", "body": body}
    event: str = good(await who.put(f"/rooms/{room}/send/m.room.message/{next(COUNT)}", content))["event_id"]
    return event


async def at(who: Client, room: str, ts: int, way: str) -> Any:
    return await who.get(f"/_matrix/client/v1/rooms/{room}/timestamp_to_event", ts=ts, dir=way)


def now(network: Network) -> int:
    return network.clock.now()


@story
async def test_the_event_closest_to_a_time(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    await network.clock.sleep(10)
    before = now(network)
    await network.clock.sleep(10)
    one, two = await says(alice, room, "one"), await says(alice, room, "two")
    await network.clock.sleep(10)
    assert good(await at(alice, room, before, "f")) == {"event_id": one, "origin_server_ts": before + 10_000}
    assert good(await at(alice, room, now(network), "b"))["event_id"] == two
    assert (await at(alice, room, now(network), "f")).json["errcode"] == "M_NOT_FOUND"
    assert (await at(alice, room, EPOCH_MS - 1, "b")).status == 404
    strangers = [await at(bob, target, before, "f") for target in (room, "!never:a")]
    assert [answer.status for answer in strangers] == [403, 403]
    assert (await alice.get(f"/_matrix/client/v1/rooms/{room}/timestamp_to_event", dir="f")).json["errcode"] == "M_MISSING_PARAM"
    assert (await at(alice, room, before, "sideways")).status == 400


@story
async def test_a_time_before_one_came_is_asked_of_those_who_were_there(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    await network.clock.sleep(10)
    start = now(network)
    sent = []
    for number in range(3):
        await network.clock.sleep(10)
        sent.append(await says(alice, room, str(number)))
    await network.clock.sleep(10)
    good(await bob.post(f"/join/{room}", {}, via="a"))
    assert good(await at(bob, room, start, "f"))["event_id"] == sent[0]
    assert good(await at(bob, room, start + 25_000, "b"))["event_id"] == sent[1]
    around = good(await bob.get(f"/rooms/{room}/context/{sent[1]}"))
    assert around["events_before"][0]["event_id"] == sent[0]
    network.down.add("a")
    assert good(await at(bob, room, start, "f"))["event_id"] == sent[0]


@story
async def test_reports_are_kept_and_tell_nobody_what_exists(network: Network) -> None:
    a = network.server("a")
    alice, bob, eve = await a.user("alice"), await a.user("bob"), await a.user("eve")
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "invite": [bob.user_id]}))["room_id"]
    good(await bob.post(f"/join/{room}", {}))
    event = await says(alice, room, "rude")
    good(await bob.post(f"/rooms/{room}/report/{event}", {"reason": "rude", "score": -100}))
    good(await bob.post(f"/rooms/{room}/report", {"reason": ""}))
    for user in (alice.user_id, "@nobody:a", "@far:b"):
        good(await bob.post(f"/users/{user}/report", {"reason": "why not"}))
    assert (await bob.post(f"/rooms/{room}/report/$never", {})).status == 404
    for path in ("/rooms/{}/report", "/rooms/{}/report/" + event):
        hidden, missing = [await eve.post(path.format(target), {"reason": "x"}) for target in (room, "!never:a")]
        assert (hidden.status, hidden.raw) == (404, missing.raw)
    kept = [report for _, _, report in await a.server.database.read(directory.reports, None, 10)]
    assert [(report.room_id, report.event_id, report.user_id) for report in reversed(kept)] == [
        (room, event, alice.user_id), (room, None, None), (None, None, alice.user_id), (None, None, "@far:b")
    ]  # fmt: skip
    assert kept[-1].reason == "rude" and kept[-1].reporter == bob.user_id


@story
async def test_credentials_for_relays(network: Network) -> None:
    turn = Turn(uris=("turn:t.example",), shared_secret=Secret("s3"), lifetime=Duration.parse("1h"))
    well_known = replace(SETTINGS.well_known, rtc_livekit_urls=("https://sfu.example",))
    a, b = network.server("a", turn=turn, well_known=well_known), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    got = good(await alice.get("/voip/turnServer"))
    name = f"{network.clock.now() // 1000 + 3600}:{alice.user_id}"
    password = b64encode(hmac.new(b"s3", name.encode(), "sha1").digest()).decode()
    assert got == {"username": name, "password": password, "uris": ["turn:t.example"], "ttl": 3600}
    assert good(await bob.get("/voip/turnServer")) == {}
    transports = good(await alice.get("/_matrix/client/v1/rtc/transports"))
    assert transports == {"rtc_transports": [{"type": "livekit", "livekit_service_url": "https://sfu.example"}]}
    assert good(await bob.get("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports")) == {"rtc_transports": []}


@story
async def test_a_room_at_once_and_an_event_by_its_id(network: Network) -> None:
    a = network.server("a")
    alice, eve = await a.user("alice"), await a.user("eve")
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "name": "Tea"}))["room_id"]
    sent = [await says(alice, room, str(number)) for number in range(3)]
    good(await alice.put(f"/user/{alice.user_id}/rooms/{room}/tags/u.x", {}))
    whole = good(await alice.get(f"/rooms/{room}/initialSync", limit=2))
    assert [event["event_id"] for event in whole["messages"]["chunk"]] == sent[1:]
    assert {"m.room.create", "m.room.name"} <= {event["type"] for event in whole["state"]}
    assert (whole["membership"], whole["visibility"]) == ("join", "private")
    assert whole["account_data"] == [{"type": "m.tag", "content": {"tags": {"u.x": {}}}}]
    earlier = good(await alice.get(f"/rooms/{room}/messages", dir="b", limit=1, **{"from": whole["messages"]["start"]}))
    assert [event["event_id"] for event in earlier["chunk"]] == sent[:1]
    assert good(await alice.get(f"/events/{sent[0]}"))["content"]["body"] == "0"
    hidden, missing = await eve.get(f"/events/{sent[0]}"), await eve.get("/events/$never")
    assert (hidden.status, hidden.raw) == (404, missing.raw)
    assert [(await eve.get(f"/rooms/{target}/initialSync")).status for target in (room, "!never:a")] == [403, 403]
