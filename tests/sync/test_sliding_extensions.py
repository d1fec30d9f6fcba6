"""What sliding sync tells beside rooms: each extension, for which rooms, and what it wakes for."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.sync.test_sliding import ids, room, say, slide, window
from tests.world import Client, Network, good, story

ON = {"enabled": True}


async def reads(client: Client, room_id: str, event_id: str, kind: str = "m.read") -> None:
    good(await client.post(f"/rooms/{room_id}/receipt/{kind}/{event_id}", {}))


async def whispers(client: Client, to: Client, txn: str) -> None:
    messages = {to.user_id: {to.device_id: {"n": txn}}}
    good(await client.put(f"/sendToDevice/m.test/{txn}", {"messages": messages}))


def whispered(answer: Any) -> list[str]:
    return [event["content"]["n"] for event in answer["extensions"]["to_device"].get("events", ())]


@story
async def test_messages_to_the_device_stay_until_their_token_comes_back(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob", "PHONE")
    first = await slide(bob, conn_id="encryption", extensions={"to_device": ON})
    token = first["extensions"]["to_device"]["next_batch"]
    for n in "123":
        await whispers(alice, bob, n)

    async def ask_for(since: str, limit: int = 2) -> Any:
        wish = {"to_device": {"enabled": True, "since": since, "limit": limit}}
        return await slide(bob, first["pos"], 10_000, conn_id="encryption", extensions=wish)

    lost, again = await ask_for(token), await ask_for(token)
    assert whispered(lost) == whispered(again) == ["1", "2"]
    rest = await ask_for(again["extensions"]["to_device"]["next_batch"])
    assert whispered(rest) == ["3"]
    # What was acknowledged is gone, whoever asks.
    assert whispered(await slide(bob, extensions={"to_device": ON})) == ["3"]
    # A message ends the waiting.
    calls: list[Any] = []
    network.reactor.callLater(3, lambda: calls.append(Deferred.fromCoroutine(whispers(alice, bob, "4"))))
    assert whispered(await ask_for(rest["extensions"]["to_device"]["next_batch"])) == ["4"]


@story
async def test_keys_are_counted_in_every_answer_and_lists_of_devices_wake(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    await room(alice, bob)
    first = await slide(bob, conn_id="encryption", extensions={"e2ee": ON})
    assert first["extensions"]["e2ee"] == {"device_one_time_keys_count": {"signed_curve25519": 0}, "device_unused_fallback_key_types": []}
    keys = {"user_id": alice.user_id, "device_id": alice.device_id, "algorithms": [], "keys": {}, "signatures": {}}

    calls: list[Any] = []
    network.reactor.callLater(3, lambda: calls.append(Deferred.fromCoroutine(alice.post("/keys/upload", {"device_keys": keys}))))
    second = await slide(bob, first["pos"], 10_000, conn_id="encryption", extensions={"e2ee": ON})
    assert second["extensions"]["e2ee"]["device_lists"]["changed"] == [alice.user_id]
    third = await slide(bob, second["pos"], conn_id="encryption", extensions={"e2ee": ON})
    assert "device_lists" not in third["extensions"]["e2ee"] and third["extensions"]["e2ee"]["device_one_time_keys_count"]


@story
async def test_account_data(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea, cake = await room(alice, bob), await room(alice, bob)
    mine = f"/user/{bob.user_id}"
    good(await bob.put(f"{mine}/account_data/org.old", {"n": 1}))
    good(await bob.put(f"{mine}/rooms/{tea}/account_data/org.room", {"n": 1}))
    lists, on = {"top": window(0, 0)}, {"account_data": ON}

    first = await slide(bob, lists=lists, extensions=on)
    told = first["extensions"]["account_data"]
    assert {event["type"] for event in told["global"]} == {"m.push_rules", "org.old"} and "rooms" not in told
    second = await slide(bob, first["pos"], lists=lists, extensions=on)
    assert second["extensions"] == {}

    good(await bob.put(f"{mine}/account_data/org.new", {"n": 2}))
    good(await bob.put(f"{mine}/rooms/{cake}/account_data/org.room", {"n": 2}))
    good(await bob.put(f"{mine}/rooms/{tea}/account_data/org.room", {"n": 3}))
    third = await slide(bob, second["pos"], 10_000, lists=lists, extensions=on)
    told = third["extensions"]["account_data"]
    assert [event["type"] for event in told["global"]] == ["org.new"] and list(told["rooms"]) == [cake]
    # The other room comes into the window, with all it has; what happened to the one that left is told when it is back.
    await say(alice, tea)
    fourth = await slide(bob, third["pos"], lists=lists, extensions=on)
    assert fourth["extensions"]["account_data"]["rooms"] == {tea: [{"type": "org.room", "content": {"n": 3}}]}
    good(await bob.put(f"{mine}/rooms/{cake}/account_data/org.room", {"n": 4}))
    fifth = await slide(bob, fourth["pos"], lists=lists, extensions=on)
    assert fifth["extensions"] == {} and fifth["rooms"] == {}
    await say(alice, cake)
    sixth = await slide(bob, fifth["pos"], lists=lists, extensions=on)
    assert sixth["extensions"]["account_data"]["rooms"] == {cake: [{"type": "org.room", "content": {"n": 4}}]}
    # Switched off for a while, and on again: nothing is missed.
    seventh = await slide(bob, sixth["pos"], lists=lists)
    good(await bob.put(f"{mine}/account_data/org.newer", {"n": 5}))
    eighth = await slide(bob, seventh["pos"], lists=lists)
    ninth = await slide(bob, eighth["pos"], lists=lists, extensions=on)
    assert [event["type"] for event in ninth["extensions"]["account_data"]["global"]] == ["org.newer"]


@story
async def test_receipts(network: Network) -> None:
    a = network.server("a")
    alice, bob, carol = await a.user("alice"), await a.user("bob"), await a.user("carol")
    tea = await room(alice, bob, carol)
    said = [await say(alice, tea) for _ in range(4)]
    await reads(carol, tea, said[0])
    await reads(alice, tea, said[3])
    await reads(bob, tea, said[1], "m.read.private")
    lists, on = {"all": window(limit=1)}, {"receipts": ON}

    # Those for what is shown, and one's own.
    first = await slide(bob, lists=lists, extensions=on)
    content = first["extensions"]["receipts"]["rooms"][tea]["content"]
    assert first["extensions"]["receipts"]["rooms"][tea]["type"] == "m.receipt"
    assert content.keys() == {said[3], said[1]} and content[said[1]].keys() == {"m.read.private"}
    # Nobody else hears of what is private.
    others = await slide(alice, lists=lists, extensions=on)
    assert said[1] not in others["extensions"]["receipts"]["rooms"][tea]["content"]

    calls: list[Any] = []
    network.reactor.callLater(3, lambda: calls.append(Deferred.fromCoroutine(reads(carol, tea, said[2]))))
    second = await slide(bob, first["pos"], 10_000, lists=lists, extensions=on)
    assert second["extensions"]["receipts"]["rooms"][tea]["content"].keys() == {said[2]} and second["rooms"] == {}

    # With older events come the receipts for them.
    longer = {tea: {"required_state": [], "timeline_limit": 3}}
    third = await slide(bob, second["pos"], lists=lists, room_subscriptions=longer, extensions=on)
    assert ids(third["rooms"][tea]) == said[1:] and said[2] in third["extensions"]["receipts"]["rooms"][tea]["content"]


@story
async def test_typing(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea, cake = await room(alice, bob), await room(alice, bob)
    lists, on = {"top": window(0, 0)}, {"typing": ON}
    first = await slide(bob, lists=lists, extensions=on)
    assert first["extensions"] == {}

    async def types(room_id: str, typing: bool) -> None:
        good(await alice.put(f"/rooms/{room_id}/typing/{alice.user_id}", {"typing": typing, "timeout": 60_000}))

    await types(tea, True)
    await types(cake, True)
    second = await slide(bob, first["pos"], 10_000, lists=lists, extensions=on)
    assert second["extensions"]["typing"]["rooms"] == {cake: {"type": "m.typing", "content": {"user_ids": [alice.user_id]}}}
    # Out of the window she stops; when the room is back nobody seems to type.
    await say(alice, tea)
    third = await slide(bob, second["pos"], lists=lists, extensions=on)
    assert list(third["extensions"]["typing"]["rooms"]) == [tea]
    await types(cake, False)
    fourth = await slide(bob, third["pos"], lists=lists, extensions=on)
    assert fourth["extensions"] == {}
    await say(alice, cake)
    fifth = await slide(bob, fourth["pos"], lists=lists, extensions=on)
    assert fifth["extensions"]["typing"]["rooms"][cake]["content"] == {"user_ids": []}


@story
async def test_which_rooms_an_extension_is_for(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    rooms = [await room(alice, bob) for _ in range(4)]
    for one in rooms:
        good(await bob.put(f"/user/{bob.user_id}/rooms/{one}/account_data/org.room", {}))
        good(await bob.put(f"/user/{bob.user_id}/rooms/{one}/account_data/org.more", {"n": 1}))
    wish = {"required_state": [], "timeline_limit": 0}
    body = {"lists": {"first": window(0, 0), "second": window(1, 1)}, "room_subscriptions": {rooms[0]: wish, rooms[1]: wish}}
    newest, second = rooms[3], rooms[2]

    async def scoped(**scope: Any) -> set[str]:
        found = await slide(bob, **body, extensions={"account_data": {"enabled": True, **scope}})
        return set(found["extensions"]["account_data"].get("rooms", {}))

    assert await scoped() == await scoped(lists=["*"], rooms=["*"]) == set(rooms)
    assert await scoped(lists=[], rooms=[]) == set()
    assert await scoped(lists=["first"], rooms=[rooms[1]]) == {newest, rooms[1]}
    assert await scoped(lists=["second", "unknown"], rooms=["!unknown:a", newest]) == {second}
    assert (await slide(bob, **body, extensions={"account_data": {"enabled": False}}))["extensions"] == {}
