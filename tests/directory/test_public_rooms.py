"""The published list of rooms, as clients and other servers see it."""

from dataclasses import replace
from typing import Any

from tests.world import SETTINGS, Client, Network, good, story


async def published(by: Client, name: str, **more: Any) -> str:
    """A room on the list."""
    room: str = good(await by.post("/createRoom", {"visibility": "public", "name": name, **more}))["room_id"]
    return room


def names(answer: Any) -> list[str]:
    return [entry["name"] for entry in answer["chunk"]]


@story
async def test_an_entry_says_what_the_room_is(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    avatar = {"type": "m.room.avatar", "content": {"url": "mxc://a/b"}}
    readable = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    room = await published(
        alice, "un nom français", topic="à la française", room_alias_name="été", initial_state=[avatar, readable],
        creation_content={"type": "m.space"},
    )  # fmt: skip
    answer = good(await alice.get("/publicRooms"))
    assert answer["total_room_count_estimate"] == 1
    assert answer["chunk"] == [
        {
            "room_id": room, "name": "un nom français", "topic": "à la française", "avatar_url": "mxc://a/b", "canonical_alias": "#été:a",
            "num_joined_members": 1, "world_readable": True, "guest_can_join": False, "join_rule": "public", "room_type": "m.space",
        }
    ]  # fmt: skip


@story
async def test_a_room_goes_on_the_list_and_off_it(network: Network) -> None:
    a = network.server("a")
    alice, bob, root = await a.user("alice"), await a.user("bob"), await a.user("root", admin=True)
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    path = f"/directory/list/room/{room}"
    assert good(await a.stranger().get(path)) == {"visibility": "private"}
    assert (await bob.put(path, {"visibility": "public"})).status == 403
    good(await alice.put(path, {"visibility": "public"}))
    assert good(await a.stranger().get(path)) == {"visibility": "public"}
    assert [entry["room_id"] for entry in good(await bob.get("/publicRooms"))["chunk"]] == [room]
    good(await root.put(path, {"visibility": "private"}))
    assert good(await bob.get("/publicRooms"))["chunk"] == []


@story
async def test_a_hidden_room_has_no_place_on_any_list(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    for path in (f"/directory/list/room/{room}", "/directory/list/room/!never:a"):
        for who in (bob, a.stranger()):
            assert (await who.get(path))[:2] == (404, {"errcode": "M_NOT_FOUND", "error": "No such room"})
        assert (await bob.put(path, {"visibility": "public"}))[:2] == (404, {"errcode": "M_NOT_FOUND", "error": "No such room"})


@story
async def test_pages_follow_one_another_both_ways(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    for number in range(5):
        await published(alice, f"room {number}")
    whole = names(good(await alice.get("/publicRooms")))
    assert len(whole) == 5
    seen, tokens, since = [], [], {}
    while since is not None:
        page = good(await alice.get("/publicRooms", limit=2, **since))
        seen.append(names(page))
        tokens.append(page.get("prev_batch"))
        since = {"since": page["next_batch"]} if "next_batch" in page else None
    assert [name for page in seen for name in page] == whole
    back = good(await alice.get("/publicRooms", limit=2, since=tokens[-1]))
    assert names(back) == seen[-2]
    assert (await alice.get("/publicRooms", since="rubbish")).status == 400


@story
async def test_searching_by_words_and_by_type(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    await published(alice, "Tea", topic="with WOMBLES")
    await published(alice, "House", creation_content={"type": "m.space"})
    await published(alice, "ÉTÉ")

    async def found(**wanted: Any) -> set[str]:
        return set(names(good(await alice.post("/publicRooms", {"filter": wanted}))))

    assert await found(generic_search_term="wombles") == {"Tea"}
    assert await found(generic_search_term="été") == {"ÉTÉ"}
    assert await found(room_types=["m.space"]) == {"House"}
    assert await found(room_types=[None]) == {"Tea", "ÉTÉ"}
    assert await found(room_types=[None, "m.space"]) == {"Tea", "House", "ÉTÉ"}
    assert await found(room_types=[]) == set()


@story
async def test_the_list_of_another_server(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    await published(alice, "Tea")
    await published(alice, "Coffee")
    assert set(names(good(await bob.get("/publicRooms", server="a")))) == {"Tea", "Coffee"}
    assert names(good(await bob.post("/publicRooms", {"filter": {"generic_search_term": "tea"}}, server="a"))) == ["Tea"]
    network.down.add("a")
    assert (await bob.get("/publicRooms", server="a")).status == 502


@story
async def test_who_may_read_the_list(network: Network) -> None:
    closed = network.server("a", directory=replace(SETTINGS.directory, public_rooms_over_federation=False))
    opened = network.server("b", directory=replace(SETTINGS.directory, public_rooms_without_login=True))
    bob = await opened.user("bob")
    assert (await closed.stranger().get("/publicRooms")).status == 401
    good(await opened.stranger().get("/publicRooms"))
    assert (await bob.get("/publicRooms", server="a")).status == 403


@story
async def test_only_administrators_publish_where_the_operator_says_so(network: Network) -> None:
    a = network.server("a", directory=replace(SETTINGS.directory, publication="admins"))
    alice, root = await a.user("alice"), await a.user("root", admin=True)
    assert (await alice.post("/createRoom", {"visibility": "public"})).status == 403
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    assert (await alice.put(f"/directory/list/room/{room}", {"visibility": "public"})).status == 403
    good(await root.put(f"/directory/list/room/{room}", {"visibility": "public"}))


@story
async def test_rooms_made_in_one_millisecond_are_several(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    made = {good(await alice.post("/createRoom", {"room_version": "12"}))["room_id"] for _ in range(3)}
    assert len(made) == 3
