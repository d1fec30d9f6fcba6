"""Join links, as FLOWS section 3 tells it.  Each story is one of its sentences."""

import re
from pathlib import Path
from typing import Any

import pytest

from homeserver.events.vendor import CLIENT
from homeserver.membership.links import making, redeeming
from homeserver.membership.links.custody import Custody, Lost
from homeserver.web.types import Request, Response
from tests.flows.keys import ROOM_KEY, Device, device
from tests.world import Home, Network, Reply, good, story

SERVERS = pytest.mark.parametrize("there", ["a", "b"])
GEK = ROOM_KEY.decode()


async def private_room(alice: Device, **state: Any) -> str:
    alice.room_key = ROOM_KEY
    body = {"preset": "private_chat", "name": "The <b>Garden</b>", "topic": "Roses & thorns", **state}
    return str(good(await alice.client.post("/createRoom", body))["room_id"])


async def link(maker: Device, room: str, **wanted: Any) -> dict[str, Any]:
    body = {"approval": False, "key_custody": False, **wanted}
    return dict(good(await maker.client.post(f"{CLIENT}/rooms/{room}/links", body)))


async def follow(who: Device, made: dict[str, Any]) -> Reply:
    return await who.client.post(f"{CLIENT}/follow_link", {"server": made["server"], "token": made["token"]})


async def shown(home: Home, token: str) -> Response:
    """The page behind a link."""
    return await home.respond(Request("GET", f"/join/{token}", "", {}, b"", "10.0.0.9"))


async def is_in(who: Device, room: str) -> bool:
    return room in good(await who.client.get("/joined_rooms"))["joined_rooms"]


@SERVERS
@story
async def test_with_custody_who_opens_the_link_is_in_and_has_the_key_with_every_member_offline(network: Network, there: str) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(network.servers[there], "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, key_custody=True, key=GEK)
    assert made["url"].endswith(f"/join/{made['token']}")
    answer = good(await follow(bob, made))
    assert (answer["room_id"], answer["status"]) == (room, "joined") and await is_in(bob, room)
    bob._open(answer["key"])
    assert bob.room_key == ROOM_KEY
    assert await alice.pending(room) == [], "nobody need be asked"
    assert b.name == "b"


@SERVERS
@story
async def test_without_custody_a_member_sends_the_key_and_until_then_the_request_waits(network: Network, there: str) -> None:
    network.server("a"), network.server("b")
    alice, bob = await device(network.servers["a"], "alice", "A"), await device(network.servers[there], "bob", "B")
    room = await private_room(alice)
    answer = good(await follow(bob, await link(alice, room)))
    assert answer["status"] == "joined" and "key" not in answer and await is_in(bob, room)
    await network.passes(5)
    (request,) = await alice.pending(room)
    assert await alice.approves(request) in (200, 202)
    await network.passes(5)
    await bob.fetches()
    assert bob.room_key == ROOM_KEY


@SERVERS
@story
async def test_with_approval_a_member_agrees_and_the_user_is_invited_and_joined(network: Network, there: str) -> None:
    network.server("a"), network.server("b")
    alice, bob = await device(network.servers["a"], "alice", "A"), await device(network.servers[there], "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, approval=True)
    answer = good(await follow(bob, made))
    assert answer["status"] == "waiting" and not await is_in(bob, room)
    assert good(await follow(bob, made))["request_id"] == answer["request_id"], "following again changes nothing"
    (waiting,) = good(await alice.client.get(f"{CLIENT}/rooms/{room}/link_requests"))["requests"]
    assert waiting == {
        **waiting,
        "request_id": answer["request_id"],
        "user_id": bob.client.user_id,
        "public_key": bob.public,
        "server": "a",
    }
    good(await alice.client.post(f"{CLIENT}/link_requests/{waiting['request_id']}/approve"))
    await network.passes(10)
    assert await is_in(bob, room)
    assert good(await follow(bob, made))["status"] == "joined"
    (request,) = await alice.pending(room)
    await alice.approves(request)
    await network.passes(5)
    await bob.fetches()
    assert bob.room_key == ROOM_KEY


@SERVERS
@story
async def test_declining_is_final_for_that_request(network: Network, there: str) -> None:
    network.server("a"), network.server("b")
    alice, bob = await device(network.servers["a"], "alice", "A"), await device(network.servers[there], "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, approval=True)
    request_id = good(await follow(bob, made))["request_id"]
    path = f"{CLIENT}/link_requests/{request_id}"
    good(await alice.client.post(f"{path}/decline"))
    good(await alice.client.post(f"{path}/decline"))
    assert (await alice.client.post(f"{path}/approve")).status == 409
    await network.passes(5)
    assert good(await follow(bob, made))["status"] == "declined" and not await is_in(bob, room)


@story
async def test_a_member_on_another_server_can_agree(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await device(a, "alice", "A"), await device(b, "bob", "B"), await device(c, "carol", "C")
    room = await private_room(alice)
    good(await follow(carol, await link(alice, room)))
    made = await link(alice, room, approval=True)
    request_id = good(await follow(bob, made))["request_id"]
    path = f"{CLIENT}/link_requests/{request_id}/approve?server=a"
    levels = good(await alice.client.get(f"/rooms/{room}/state/m.room.power_levels"))
    good(await alice.client.put(f"/rooms/{room}/state/m.room.power_levels", {**levels, "invite": 50}))
    assert (await carol.client.post(path)).status == 403, "not without the power to invite"
    good(await alice.client.put(f"/rooms/{room}/state/m.room.power_levels", {**levels, "invite": 0}))
    good(await carol.client.post(path))
    await network.passes(10)
    assert await is_in(bob, room)


@story
async def test_approval_forbids_custody(network: Network) -> None:
    a = network.server("a")
    alice = await device(a, "alice", "A")
    room = await private_room(alice)
    answer = await alice.client.post(f"{CLIENT}/rooms/{room}/links", {"approval": True, "key_custody": True, "key": GEK})
    assert (answer.status, answer.json["errcode"]) == (400, "M_INVALID_PARAM") and "custody" in answer.json["error"]
    told = good(await alice.client.get("/capabilities"))["capabilities"]["org.homeserver.join_links"]
    assert told == {"enabled": True, "key_custody_with_approval": False}
    long = {"key_custody": True, "key": "x" * 5000}
    for wrong in ({"key_custody": True}, {"key": GEK}, {"uses": 0}, {"uses": 10**9}, {"expires_ms": 0}, long):
        assert (await alice.client.post(f"{CLIENT}/rooms/{room}/links", {"approval": False, "key_custody": False, **wrong})).status == 400


@SERVERS
@pytest.mark.parametrize("how", ["expired", "revoked", "used up", "powerless", "creator left", "never", "banned"])
@story
async def test_a_link_that_is_no_good_never_existed(network: Network, there: str, how: str) -> None:
    a, _ = network.server("a"), network.server("b")
    home = network.servers[there]
    alice, bob, carol = await device(a, "alice", "A"), await device(home, "bob", "B"), await device(a, "carol", "C")
    room = await private_room(alice, invite=[carol.client.user_id], power_level_content_override={"users": {carol.client.user_id: 100}})
    good(await carol.client.post(f"/join/{room}"))
    made = await link(carol, room, uses=1, expires_ms=60_000)
    if how == "expired":
        await network.passes(61)
    elif how == "revoked":
        good(await carol.client.delete(f"{CLIENT}/rooms/{room}/links/{made['link_id']}"))
    elif how == "used up":
        good(await follow(await device(home, "dave", "D"), made))
    elif how == "powerless":
        levels = good(await alice.client.get(f"/rooms/{room}/state/m.room.power_levels"))
        good(await alice.client.put(f"/rooms/{room}/state/m.room.power_levels", {**levels, "invite": 50, "users": {}}))
    elif how == "creator left":
        good(await carol.client.post(f"/rooms/{room}/leave"))
    elif how == "never":
        made["token"] = "A" * len(made["token"])
    else:
        good(await alice.client.post(f"/rooms/{room}/ban", {"user_id": bob.client.user_id}))
    good(await alice.client.put(f"/rooms/{room}/send/m.room.message/1", {"body": "still here", "msgtype": "m.text"}))
    absent = await follow(bob, {**made, "token": "B" * 32})
    answer = await follow(bob, made)
    assert (answer.status, answer.raw) == (absent.status, absent.raw) == (404, answer.raw)
    if how != "banned":
        page, nothing = await shown(a, made["token"]), await shown(a, "B" * 32)
        assert (page.status, page.headers, page.body) == (404, nothing.headers, nothing.body)


@story
async def test_a_link_followed_twice_is_used_once_and_its_uses_are_counted_exactly(network: Network) -> None:
    a = network.server("a")
    alice = await device(a, "alice", "A")
    people = [await device(a, f"user{number}", "D") for number in range(4)]
    room = await private_room(alice)
    made = await link(alice, room, uses=3)
    for person in (*people[:3], *people[:3]):
        assert good(await follow(person, made))["status"] == "joined"
    assert (await follow(people[3], made)).status == 404
    (shown,) = good(await alice.client.get(f"{CLIENT}/rooms/{room}/links"))["links"]
    assert shown["uses_left"] == 0 and "token" not in shown


@story
async def test_only_who_may_invite_and_has_the_level_makes_lists_and_revokes(network: Network) -> None:
    a = network.server("a")
    alice, bob, stranger = await device(a, "alice", "A"), await device(a, "bob", "B"), await device(a, "stranger", "S")
    room = await private_room(alice)
    made = await link(alice, room)
    good(await follow(bob, made))
    body = {"approval": False, "key_custody": False}
    assert (await bob.client.post(f"{CLIENT}/rooms/{room}/links", body)).status == 403, "state takes 50"
    assert (await bob.client.get(f"{CLIENT}/rooms/{room}/links")).status == 403
    assert (await bob.client.delete(f"{CLIENT}/rooms/{room}/links/{made['link_id']}")).status == 403
    for method, path in (("POST", "links"), ("GET", "links"), ("DELETE", f"links/{made['link_id']}"), ("GET", "link_requests")):
        hidden, absent = [
            await stranger.client.request(method, f"{CLIENT}/rooms/{where}/{path}", body if method == "POST" else None)
            for where in (room, "!none:a")
        ]
        assert (hidden.status, hidden.raw) == (absent.status, absent.raw) == (404, hidden.raw)
    levels = good(await alice.client.get(f"/rooms/{room}/state/m.room.power_levels"))
    events = {**levels["events"], making.EVENT_TYPE: 0}
    good(await alice.client.put(f"/rooms/{room}/state/m.room.power_levels", {**levels, "events": events}))
    await link(bob, room)


@story
async def test_links_and_waits_are_bounded(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MOST_OF_USER", 2)
    monkeypatch.setattr(redeeming, "MOST_WAITING", 1)
    a = network.server("a")
    alice, bob, carol = await device(a, "alice", "A"), await device(a, "bob", "B"), await device(a, "carol", "C")
    room = await private_room(alice)
    made = await link(alice, room, approval=True, uses=2)
    await link(alice, room)
    assert (await alice.client.post(f"{CLIENT}/rooms/{room}/links", {"approval": False, "key_custody": False})).status == 403
    good(await follow(bob, made))
    assert (await follow(carol, made)).status == 403
    listed = good(await alice.client.get(f"{CLIENT}/rooms/{room}/links"))["links"]
    assert {one["uses_left"] for one in listed} == {1, None}


@story
async def test_tokens_are_stored_hashed_and_keys_encrypted(network: Network) -> None:
    a = network.server("a")
    alice = await device(a, "alice", "A")
    room = await private_room(alice)
    made = await link(alice, room, key_custody=True, key=GEK)
    (row,) = await a.server.database.read(lambda txn: txn.all("SELECT * FROM join_links"))
    stored = b"|".join(bytes(value) if not isinstance(value, str | int) and value is not None else str(value).encode() for value in row)
    assert made["token"].encode() not in stored and ROOM_KEY not in stored
    assert len(made["token"]) >= 22, "128 random bits"


def test_what_is_in_custody_opens_with_its_key_file_and_for_its_link_only(tmp_path: Path) -> None:
    custody = Custody(tmp_path / "custody.key")
    with pytest.raises(Lost, match="missing"):
        custody.close("one", "secret")
    custody.begin()
    closed = custody.close("one", "secret")
    assert (tmp_path / "custody.key").stat().st_mode & 0o777 == 0o600
    assert Custody(tmp_path / "custody.key").open("one", closed) == "secret"
    Custody(tmp_path / "other.key").begin()
    for wrong in (custody, Custody(tmp_path / "other.key")):
        with pytest.raises(Lost):
            wrong.open("two", closed)


@story
async def test_the_page_shows_the_room_and_ways_to_open_it(network: Network) -> None:
    a = network.server("a")
    alice = await device(a, "alice", "A")
    room = await private_room(alice)
    made = await link(alice, room, approval=True)
    answer = await shown(a, made["token"])
    page = bytes(answer.body).decode()
    assert answer.status == 200 and "The &lt;b&gt;Garden&lt;/b&gt;" in page and "Roses &amp; thorns" in page and "<script" not in page
    assert "1 member<" in page and "A member will be asked" in page
    assert re.search(r'href="matrix:roomid/[^"]+\?action=join&amp;via=a&amp;org.homeserver.link=', page)
    assert "default-src 'none'" in answer.headers["content-security-policy"] and answer.headers["referrer-policy"] == "no-referrer"
