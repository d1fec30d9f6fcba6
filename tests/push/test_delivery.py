"""Phones are rung: what gateways are told, how often, and when no more."""

from typing import Any

import orjson

from homeserver.federation.failures import TimedOut
from homeserver.federation.transport import Answer, Outgoing
from homeserver.push import gateway
from homeserver.storage import accounts
from tests.world import Client, Network, good, story

from .test_endpoints import pusher, room_of, say


class Gateway:
    """A push gateway that remembers."""

    def __init__(self, network: Network) -> None:
        self.told: list[dict[str, Any]] = []
        self.status, self.rejects = 200, False
        network.pages["push.example"] = self.answer

    async def answer(self, outgoing: Outgoing) -> Answer:
        if self.status == 0:
            raise TimedOut("push.example", "asleep")
        assert outgoing.body is not None
        told = orjson.loads(outgoing.body)["notification"]
        if self.status == 200:
            self.told.append(told)
        rejected = [device["pushkey"] for device in told["devices"]] if self.rejects else []
        return Answer(self.status, {}, orjson.dumps({"rejected": rejected}))


async def phones(network: Network, **changes: Any) -> tuple[Client, Client, str, Gateway]:
    a = network.server("a")
    a.server.telling.deliveries.start()
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    tower = Gateway(network)
    good(await bob.post("/pushers/set", pusher(**changes)))
    await network.passes(1)
    return alice, bob, room, tower


@story
async def test_a_message_rings_and_reading_it_clears_the_badge(network: Network) -> None:
    alice, bob, room, tower = await phones(network, data={"url": "https://push.example/_matrix/push/v1/notify", "x": 1})
    event = await say(alice, room, "hello", 1)
    await network.passes(1)
    [told] = tower.told
    assert told["event_id"] == event and told["room_id"] == room and told["sender"] == alice.user_id
    assert told["content"]["body"] == "hello" and told["counts"] == {"unread": 1} and told["prio"] == "high"
    device = told["devices"][0]
    assert device["data"] == {"x": 1} and device["tweaks"] == {"sound": "default"} and device["pushkey"] == "key"
    good(await bob.post(f"/rooms/{room}/receipt/m.read/{event}", {}))
    await network.passes(1)
    assert [told["counts"] for told in tower.told] == [{"unread": 1}, {"unread": 0}]
    await say(bob, room, "my own", 2)
    await network.passes(1)
    assert len(tower.told) == 2


@story
async def test_the_minimal_format_tells_no_content(network: Network) -> None:
    data = {"url": "https://push.example/_matrix/push/v1/notify", "format": "event_id_only"}
    alice, _, room, tower = await phones(network, data=data)
    await say(alice, room, "secret", 1)
    await network.passes(1)
    assert set(tower.told[0]) == {"event_id", "room_id", "counts", "prio", "devices"}
    assert b"secret" not in orjson.dumps(tower.told)


@story
async def test_a_gateway_that_is_down_is_tried_again_later_and_later(network: Network) -> None:
    alice, _, room, tower = await phones(network)
    for status in (0, 502):
        tower.status = status
        await say(alice, room, f"at {status}", status)
        await network.passes(300)
    assert tower.told == []
    tower.status = 200
    await network.passes(3600)
    assert [told["content"]["body"] for told in tower.told] == ["at 0", "at 502"]


@story
async def test_what_was_read_meanwhile_is_not_told(network: Network) -> None:
    alice, bob, room, tower = await phones(network)
    tower.status = 0
    event = await say(alice, room, "hello", 1)
    await network.passes(1)
    good(await bob.post(f"/rooms/{room}/receipt/m.read/{event}", {}))
    tower.status = 200
    await network.passes(60)
    assert [set(told) for told in tower.told] == [{"counts", "devices"}]


@story
async def test_a_rejected_pushkey_is_forgotten(network: Network) -> None:
    alice, bob, room, tower = await phones(network)
    tower.rejects = True
    await say(alice, room, "hello", 1)
    await network.passes(1)
    assert good(await bob.get("/pushers"))["pushers"] == []


@story
async def test_invites_ring_and_the_ignored_do_not(network: Network) -> None:
    alice, bob, room, tower = await phones(network)
    good(await bob.put(f"/user/{bob.user_id}/account_data/m.ignored_user_list", {"ignored_users": {"@carol:a": {}}}))
    carol = await network.servers["a"].user("carol")
    good(await carol.post(f"/join/{room}"))
    await say(carol, room, "bob!", 1)
    other = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    good(await alice.post(f"/rooms/{other}/invite", {"user_id": bob.user_id}))
    await network.passes(1)
    [told] = tower.told
    assert (told["room_id"], told["type"], told["user_is_target"]) == (other, "m.room.member", True)


@story
async def test_an_invite_from_another_server_rings(network: Network) -> None:
    _, bob, _, tower = await phones(network)
    zoe = await network.server("b").user("zoe")
    room = good(await zoe.post("/createRoom", {"preset": "private_chat", "name": "Elsewhere"}))["room_id"]
    good(await zoe.post(f"/rooms/{room}/invite", {"user_id": bob.user_id}))
    await network.passes(1)
    assert [(told["room_id"], told["type"]) for told in tower.told] == [(room, "m.room.member")]


@story
async def test_a_pusher_that_cannot_be_served_is_left_alone_for_a_while(network: Network) -> None:
    alice, _, room, tower = await phones(network)
    database = network.servers["a"].server.database
    await database.write(lambda txn: txn.run("UPDATE pushers SET kind = 'pigeon'"))
    await say(alice, room, "hello", 1)
    before = database.counts.reads
    await network.passes(600)
    assert tower.told == []
    assert database.counts.reads - before < 1000
    await database.write(lambda txn: txn.run("UPDATE pushers SET kind = 'http', data = :data", data=b'{"no": "url"}'))
    await network.passes(3600)
    assert database.counts.reads - before < 6000


class Letters:
    """Who takes the mail."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []

    async def send(self, to: str, subject: str, text: str) -> None:
        self.sent.append((to, subject, text))


@story
async def test_mail_comes_when_nobody_reads_for_a_while(network: Network) -> None:

    network.post = letters = Letters()
    a = network.server("a")
    a.server.telling.deliveries.start()
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    mail = pusher(kind="email", app_id="m.email", pushkey="bob@example.org", data={})
    assert (await bob.post("/pushers/set", mail)).json["errcode"] == "M_THREEPID_NOT_FOUND"
    address = accounts.Threepid("email", "bob@example.org", bob.user_id, 1, 1)
    await a.server.database.write(accounts.add_threepid, address)
    good(await bob.post("/pushers/set", mail))
    await network.passes(1)
    for number in range(3):
        await say(alice, room, f"line {number}\nBcc: x", number)
    await network.passes(60)
    assert letters.sent == []
    await network.passes(700)
    [(to, subject, text)] = letters.sent
    assert to == "bob@example.org" and subject.startswith("3 unread messages") and "line 2 Bcc: x" in text


def test_delays_grow_up_to_an_hour() -> None:
    delays = [gateway.retry_delay_ms(failures) for failures in range(40)]
    assert delays == sorted(delays) and delays[0] == 1000 and delays[-1] == 3_600_000


@story
async def test_while_nobody_has_a_pusher_no_message_is_looked_at(network: Network) -> None:
    a = network.server("a")
    a.server.telling.deliveries.start()
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    await say(alice, room, "the caches fill", 0)
    await network.passes(1)
    before = a.server.database.counts.reads
    await say(alice, room, "hello", 1)
    await network.passes(1)
    assert a.server.database.counts.reads == before
