"""Searching what was said: who finds what, in which order, on both databases alike."""

from typing import Any

from homeserver.storage import search
from tests.world import Client, Network, good, story


async def made(by: Client, **wish: Any) -> str:
    room: str = good(await by.post("/createRoom", wish))["room_id"]
    return room


async def says(who: Client, room: str, body: str) -> str:
    content = {"msgtype": "m.text", "body": body}
    event: str = good(await who.put(f"/rooms/{room}/send/m.room.message/{says.count}", content))["event_id"]
    says.count += 1
    return event


says.count = 0  # type: ignore[attr-defined]


async def found(who: Client, term: str, token: str | None = None, **more: Any) -> Any:
    query = {} if token is None else {"next_batch": token}
    body = {"search_categories": {"room_events": {"search_term": term, **more}}}
    return good(await who.post("/search", body, **query))["search_categories"]["room_events"]


def bodies(answer: Any) -> list[str]:
    return [one["result"]["content"].get("body") for one in answer["results"]]


@story
async def test_all_words_must_be_said(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    room = await made(alice, name="Kettle club", topic="Boiling water")
    for body in ("Green TEA, please", "black tea", "Café crème", "日本のお茶", 'quo"te OR NEAR(x) tea*'):
        await says(alice, room, body)
    assert set(bodies(await found(alice, "tea"))) == {"Green TEA, please", "black tea", 'quo"te OR NEAR(x) tea*'}
    assert bodies(await found(alice, "tea green")) == ["Green TEA, please"]
    assert bodies(await found(alice, "cafe CREME")) == ["Café crème"]
    assert bodies(await found(alice, "お茶")) == ["日本のお茶"]
    assert bodies(await found(alice, 'NEAR "x" quo')) == ['quo"te OR NEAR(x) tea*']
    assert bodies(await found(alice, "coffee")) == [] == bodies(await found(alice, "!?"))
    assert [one["result"]["type"] for one in (await found(alice, "kettle"))["results"]] == ["m.room.name"]
    assert [one["result"]["type"] for one in (await found(alice, "boiling"))["results"]] == ["m.room.topic"]
    assert (await found(alice, "boiling", keys=["content.body", "content.name"]))["results"] == []
    answer = await found(alice, "Green tea")
    assert answer["count"] == 1 and answer["highlights"] == ["green", "tea"]


@story
async def test_nobody_finds_what_they_may_not_see(network: Network) -> None:
    a = network.server("a")
    alice, bob, eve = await a.user("alice"), await a.user("bob"), await a.user("eve")
    hidden = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room = await made(alice, preset="public_chat", initial_state=[hidden])
    await says(alice, room, "word before")
    good(await bob.post(f"/join/{room}", {}))
    await says(alice, room, "word while")
    good(await bob.post(f"/rooms/{room}/leave", {}))
    await says(alice, room, "word after")
    assert bodies(await found(bob, "word")) == ["word while"]
    assert bodies(await found(eve, "word")) == []
    assert bodies(await found(eve, "word", filter={"rooms": [room]})) == []
    good(await bob.post(f"/rooms/{room}/forget", {}))
    assert bodies(await found(bob, "word")) == []
    assert bodies(await found(alice, "word", order_by="recent")) == ["word after", "word while", "word before"]
    good(await alice.put(f"/user/{alice.user_id}/account_data/m.ignored_user_list", {"ignored_users": {alice.user_id: {}}}))
    assert bodies(await found(alice, "word")) == []


@story
async def test_what_was_redacted_is_found_no_more_nor_kept(network: Network, engine: str) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    room = await made(alice)
    event = await says(alice, room, "a secret")
    await says(alice, room, "no secret")
    good(await alice.put(f"/rooms/{room}/redact/{event}/1", {}))
    for order in ("rank", "recent"):
        assert bodies(await found(alice, "secret", order_by=order)) == ["no secret"]
    kept = "search_texts MATCH 'secret'" if engine == "sqlite" else "words @@ to_tsquery('simple', 'secret')"
    assert await a.server.database.read(lambda txn: txn.value(f"SELECT COUNT(*) FROM search_texts WHERE {kept}")) == 1


@story
async def test_pages_groups_context_and_state(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    room, other = await made(alice), await made(alice)
    for number in range(5):
        await says(alice, room, f"number {number}")
        await network.clock.sleep(1)
    await says(alice, other, "number elsewhere")
    wanted: dict[str, Any] = {"order_by": "recent", "filter": {"limit": 2, "rooms": [room]}}
    one = await found(alice, "number", **wanted)
    two = await found(alice, "number", one["next_batch"], **wanted)
    three = await found(alice, "number", two["next_batch"], **wanted)
    assert bodies(one) + bodies(two) + bodies(three) == [f"number {n}" for n in (4, 3, 2, 1, 0)]
    assert one["count"] == 5 and "next_batch" not in three

    context = {"before_limit": 1, "after_limit": 2, "include_profile": True}
    groupings = {"group_by": [{"key": "room_id"}, {"key": "sender"}]}
    full = await found(alice, "number 2", event_context=context, groupings=groupings, include_state=True)
    around = full["results"][0]["context"]
    assert [event["content"]["body"] for event in around["events_before"]] == ["number 1"]
    assert [event["content"]["body"] for event in around["events_after"]] == ["number 3", "number 4"]
    assert around["profile_info"] == {alice.user_id: {"displayname": "alice"}}
    assert good(await alice.get(f"/rooms/{room}/messages", dir="f", start=around["end"]))["chunk"]
    event_id = full["results"][0]["result"]["event_id"]
    group = {"order": 0, "results": [event_id]}
    assert full["groups"] == {"room_id": {room: group}, "sender": {alice.user_id: group}}
    assert "m.room.create" in {event["type"] for event in full["state"][room]}
    assert (await alice.post("/search", {"search_categories": {"room_events": {"search_term": "x"}}}, next_batch="zzz")).status == 400


@story
async def test_a_search_reaches_into_the_room_that_was_replaced(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    old = await made(alice)
    await says(alice, old, "message before")
    new = good(await alice.post(f"/rooms/{old}/upgrade", {"new_version": "12"}))["replacement_room"]
    await says(alice, new, "message after")
    assert set(bodies(await found(alice, "message", filter={"rooms": [new]}))) == {"message before", "message after"}


def test_a_text_of_anything_has_words() -> None:
    assert search.words_of("a\0b_c \ud800 ÉTÉ Straße") == ["a", "b", "c", "ete", "strasse"]
    assert search.words_of("हिन्दी")  # the marks of other scripts are no accents


@story
async def test_texts_of_impossible_size_harm_nobody(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    room = await made(alice)
    ideographs = "".join(map(chr, range(0x4E00, 0x4E00 + 15_000)))
    for body in ("x" * 40_000, ideographs, " ".join(f"w{n}" for n in range(8_000)), "\u202e\u0301"):
        await says(alice, room, body)
    assert len(bodies(await found(alice, "w5"))) == 1
    assert len(bodies(await found(alice, chr(0x4E05)))) == 1
    assert bodies(await found(alice, "y" * 4000)) == []
    assert bodies(await found(alice, " ".join(f"w{n}" for n in range(500)), filter={"limit": 0})) == []
    assert len(bodies(await found(alice, " ".join(f"w{n}" for n in range(500))))) == 1
