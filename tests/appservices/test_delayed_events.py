"""Events that are sent later, unless somebody says otherwise in time (MSC4140)."""

from typing import Any

from tests.world import Client, Network, Reply, good, story

PAGES = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
OPEN = {"preset": "public_chat", "power_level_content_override": {"events": {"call": 0}}}


async def later(who: Client, room: str, ms: Any, key: str | None = None, txn: str = "1", **content: Any) -> Reply:
    where = f"send/call/{txn}" if key is None else f"state/call/{key}"
    return await who.put(f"/rooms/{room}/{where}", content, **{"org.matrix.msc4140.delay": ms})


async def waiting(who: Client) -> list[dict[str, Any]]:
    return good(await who.get(PAGES))["delayed_events"]


async def texts(who: Client, room: str) -> list[Any]:
    page = good(await who.get(f"/rooms/{room}/messages", dir="b", limit=50))
    return [event["content"].get("n") for event in reversed(page["chunk"]) if event["type"] == "call"]


@story
async def test_events_are_sent_when_their_time_has_come_and_in_its_order(network: Network) -> None:
    home = network.server("a")
    alice, bob = await home.user("alice"), await home.user("bob")
    room = good(await alice.post("/createRoom", OPEN))["room_id"]
    first = good(await later(alice, room, 900, txn="1", n=2))["delay_id"]
    good(await later(alice, room, 500, txn="2", n=1))
    assert good(await later(alice, room, 900, txn="1", n=2))["delay_id"] == first
    assert len(await waiting(alice)) == 2
    assert await waiting(bob) == []
    assert await texts(alice, room) == []
    await network.passes(2)
    assert await texts(alice, room) == [1, 2]
    assert await waiting(alice) == []
    assert good(await later(alice, room, 900, txn="1", n=2))["delay_id"] == first, "asked again, it is not sent again"
    await network.passes(2)
    assert await texts(alice, room) == [1, 2]


@story
async def test_cancel_restart_and_send_need_the_id_only(network: Network) -> None:
    home = network.server("a")
    alice, anybody = await home.user("alice"), home.stranger()
    room = good(await alice.post("/createRoom", OPEN))["room_id"]
    one, two, three = [good(await later(alice, room, 1500, key, n=key))["delay_id"] for key in ("x", "y", "z")]
    await network.passes(1)
    good(await anybody.post(f"{PAGES}/{one}/cancel", {}))
    good(await anybody.post(f"{PAGES}/{two}", {"action": "restart"}))
    good(await anybody.post(f"{PAGES}/{three}/send", {}))
    assert await texts(alice, room) == ["z"]
    await network.passes(1)
    assert await texts(alice, room) == ["z"]
    assert [entry["state_key"] for entry in await waiting(alice)] == ["y"]
    await network.passes(1)
    assert await texts(alice, room) == ["z", "y"]
    good(await anybody.post(f"{PAGES}/{one}/cancel", {}))
    good(await anybody.post(f"{PAGES}/{three}/send", {}))
    assert (await anybody.post(f"{PAGES}/{three}/cancel", {})).status == 409
    for path in ("abc/cancel", "abc/restart", "abc/send", "abc/oops"):
        assert (await anybody.post(f"{PAGES}/{path}", {})).status == 404
    assert (await anybody.post(f"{PAGES}/abc", {})).status == 400
    assert (await anybody.get(PAGES)).status == 401


@story
async def test_state_that_another_sets_ends_it(network: Network) -> None:
    home = network.server("a")
    alice, bob = await home.user("alice"), await home.user("bob")
    room = good(await alice.post("/createRoom", OPEN))["room_id"]
    good(await bob.post(f"/join/{room}"))
    good(await later(alice, room, 1000, "x", n="later"))
    good(await alice.put(f"/rooms/{room}/state/call/x", {"n": "mine"}))
    assert len(await waiting(alice)) == 1
    good(await bob.put(f"/rooms/{room}/state/call/x", {"n": "bob's"}))
    assert await waiting(alice) == []
    await network.passes(3)
    assert await texts(alice, room) == ["mine", "bob's"]


@story
async def test_they_are_kept_over_a_restart(network: Network) -> None:
    home = network.server("a")
    alice = await home.user("alice")
    room = good(await alice.post("/createRoom", OPEN))["room_id"]
    good(await later(alice, room, 900, txn="1", n=1))
    good(await later(alice, room, 20_000, txn="2", n=2))
    await home.server.rooms.delayed.work.stop()
    await network.passes(5)
    assert await texts(alice, room) == []
    again = Client(network.restart(home), alice.user_id, alice.token, alice.device_id)
    await network.passes(1)
    assert await texts(again, room) == [1]
    await network.passes(20)
    assert await texts(again, room) == [1, 2]


@story
async def test_what_may_not_be_delayed(network: Network) -> None:
    home = network.server("a")
    alice, mallory = await home.user("alice"), await home.user("mallory")
    room = good(await alice.post("/createRoom", OPEN))["room_id"]
    for delay in (0, -1, "x"):
        assert (await later(alice, room, delay)).json["errcode"] == "M_INVALID_PARAM"
    answer = (await later(alice, room, 10**12)).json
    assert answer["org.matrix.msc4140.errcode"] == "M_MAX_DELAY_EXCEEDED"
    hidden, absent = await later(mallory, room, 10), await later(mallory, "!nowhere:a", 10)
    assert (hidden.status, hidden.json["errcode"]) == (absent.status, absent.json["errcode"]) == (403, "M_FORBIDDEN")
    delay = {"org.matrix.msc4140.delay": 10}
    invite = await alice.put(f"/rooms/{room}/state/m.room.member/{mallory.user_id}", {"membership": "invite"}, **delay)
    assert invite.status == 400
    good(await alice.put(f"/rooms/{room}/state/m.room.member/{alice.user_id}", {"membership": "leave"}, **delay))
    assert (await later(alice, room, 10, n=1.5)).status == 400


@story
async def test_nobody_fills_the_queue_and_an_ended_account_sends_nothing(network: Network) -> None:
    home = network.server("a")
    alice, bob = await home.user("alice"), await home.user("bob")
    room = good(await alice.post("/createRoom", OPEN))["room_id"]
    good(await bob.post(f"/join/{room}"))
    for number in range(100):
        good(await later(bob, room, 5000, txn=str(number), n=number))
    refused = await later(bob, room, 5000, txn="more")
    assert refused.json["org.matrix.msc4140.errcode"] == "M_MAX_DELAYED_EVENTS_EXCEEDED"
    await home.server.accounts.closing.deactivate(bob.user_id, False)
    await network.passes(10)
    assert await texts(alice, room) == []
