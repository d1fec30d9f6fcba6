"""What sliding sync costs: statements do not grow with the rooms of a window, and a quiet connection writes nothing."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.sync.test_sliding import STATE, forget_everything, room, say, sets, slide, window
from tests.world import Client, Home, Network, good, story

EXTENSIONS = {key: {"enabled": True} for key in ("to_device", "e2ee", "account_data", "receipts", "typing")}


async def cost(home: Home, client: Client, pos: str | None = None, **body: Any) -> tuple[Any, int, int]:
    """The answer, the statements and the acts that it took."""
    database = home.server.database
    before = database.counts
    answer = await slide(client, pos, **body, extensions=EXTENSIONS)
    return answer, database.counts.statements - before.statements, database.counts.acts - before.acts


async def village(home: Home, size: int) -> tuple[Client, Client, list[str]]:
    alice, bob = await home.user("alice"), await home.user("bob")
    rooms = [await room(alice, bob, **({"name": f"Room {n}"} if n % 2 else {})) for n in range(size)]
    for one in rooms:
        await say(alice, one)
    return alice, bob, rooms


@story
async def test_a_window_takes_few_statements_however_many_rooms_it_has(network: Network) -> None:
    taken = []
    for size in (2, 20):
        home = network.server(f"s{size}")
        _, bob, rooms = await village(home, size)
        forget_everything(home)
        found, statements, acts = await cost(home, bob, lists={"all": window(limit=1, state=STATE, not_room_types=["m.space"])})
        assert len(found["rooms"]) == size == len(rooms) and acts == 0
        taken.append(statements)
    assert taken[0] == taken[1] <= 26


@story
async def test_what_rooms_look_like_is_read_once_for_all_who_look(network: Network) -> None:
    home = network.server("a")
    alice, bob, rooms = await village(home, 5)
    lists = {"all": window(limit=1, state=STATE)}
    await cost(home, alice, lists=lists)
    _, before, acts = await cost(home, bob, lists=lists)
    found, after, _ = await cost(home, bob, lists=lists)
    assert acts == 0 and after < before
    carol = await home.user("carol")
    for one in rooms:
        good(await alice.post(f"/rooms/{one}/invite", {"user_id": carol.user_id}))
        good(await carol.post(f"/rooms/{one}/join", {}))
    assert len((await cost(home, bob, lists=lists))[0]["rooms"][rooms[0]]["timeline"]) == 1
    said = await say(carol, rooms[0])
    found, _, _ = await cost(home, bob, lists=lists)
    assert [event["event_id"] for event in found["rooms"][rooms[0]]["timeline"]] == [said]
    good(await alice.put(f"/rooms/{rooms[0]}/redact/{said}/1", {}))
    shown = (await cost(home, bob, lists={"all": window(limit=3)}))[0]["rooms"][rooms[0]]["timeline"]
    assert [event["content"] for event in shown if event["event_id"] == said] == [{}]


@story
async def test_rooms_that_one_came_to_lately_are_looked_at_together(network: Network) -> None:
    taken = []
    for size in (2, 12):
        home = network.server(f"s{size}")
        _, bob, _ = await village(home, size)
        lists = {"all": window(limit=20, state=STATE, not_room_types=["m.space"])}
        await cost(home, bob, lists=lists)
        found, statements, _ = await cost(home, bob, lists=lists)
        # The timelines begin before he came: what he may see of that, and as what he was there, is found out for all rooms at once.
        assert all(one["timeline"][-2]["state_key"] == bob.user_id for one in found["rooms"].values())
        taken.append(statements)
    assert taken[0] == taken[1] <= 17


@story
async def test_one_message_takes_few_statements_and_nothing_is_written(network: Network) -> None:
    home = network.server("a")
    alice, bob, rooms = await village(home, 20)
    lists = {"all": window(limit=20, state=STATE, not_room_types=["m.space"])}
    found, _, _ = await cost(home, bob, lists=lists)
    for _ in range(2):
        await say(alice, rooms[5])
        found, statements, acts = await cost(home, bob, found["pos"], lists=lists)
        assert list(found["rooms"]) == [rooms[5]] and statements <= 26 and acts == 0
    await sets(alice, rooms[5], "m.room.topic", {"topic": "x"})
    found, statements, acts = await cost(home, bob, found["pos"], lists=lists)
    assert statements <= 26 and acts == 0
    found, statements, acts = await cost(home, bob, found["pos"], lists=lists)
    assert found["rooms"] == {} and statements <= 7 and acts == 0


@story
async def test_what_is_stored_of_a_change_is_what_changed(network: Network) -> None:
    home = network.server("a")
    alice, bob, rooms = await village(home, 20)
    lists = {"all": window(limit=1, state=STATE)}
    found, _, _ = await cost(home, bob, lists=lists)
    carol = await home.user("carol")
    good(await alice.post(f"/rooms/{rooms[0]}/invite", {"user_id": carol.user_id}))
    good(await carol.post(f"/rooms/{rooms[0]}/join", {}))
    await say(carol, rooms[0])
    found, _, acts = await cost(home, bob, found["pos"], lists=lists)
    assert acts == 2  # the opening of the connection, which waited, and what changed
    sizes = await home.server.database.read(lambda txn: txn.all("SELECT LENGTH(state) FROM sliding_states ORDER BY generation"))
    assert len(sizes) == 2 and sizes[1][0] < sizes[0][0] / 3


@story
async def test_who_comes_back_for_the_same_waits_before_looking(network: Network) -> None:
    home = network.server("a")
    alice, bob, rooms = await village(home, 3)
    lists = {"all": window(limit=1, state=STATE)}
    found, _, _ = await cost(home, bob, lists=lists)
    database = home.server.database
    for number in range(3):
        inbox = found["extensions"]["to_device"]["next_batch"]
        wishes = {**EXTENSIONS, "to_device": {"enabled": True, "since": inbox}}
        before = database.counts.reads
        waiting = Deferred.fromCoroutine(slide(bob, found["pos"], 20_000, lists=lists, extensions=wishes))
        assert not waiting.called and database.counts.reads == before
        if number == 1:
            good(await alice.put(f"/sendToDevice/org.test/{number}", {"messages": {bob.user_id: {"*": {}}}}))
        else:
            await say(alice, rooms[number])
        found = await waiting
        assert database.counts.reads - before == 1
        assert list(found["rooms"]) == ([] if number == 1 else [rooms[number]])
        assert len(found["extensions"]["to_device"].get("events", [])) == (number == 1)
    # Who wants something else is answered at once, and so is who missed something.
    wider = {"all": window(limit=20, state=STATE)}
    more = await slide(bob, found["pos"], 20_000, lists=wider, extensions=EXTENSIONS)
    assert set(more["rooms"]) == set(rooms)
    await say(alice, rooms[2])
    assert list((await slide(bob, more["pos"], 20_000, lists=wider, extensions=EXTENSIONS))["rooms"]) == [rooms[2]]


@story
async def test_the_list_of_a_user_goes_on_with_what_happens_and_is_not_read_again(network: Network) -> None:
    home = network.server("a")
    alice, bob, rooms = await village(home, 6)
    lists = {"top": window(0, 3, limit=2, state=STATE), "dms": window(0, 9, is_dm=True)}

    async def told(**body: Any) -> Any:
        found = await slide(bob, lists=lists, **body)
        return {key: found[key] for key in ("lists", "rooms")}

    acts = (
        lambda: say(alice, rooms[2]),
        lambda: bob.post(f"/rooms/{rooms[1]}/leave", {}),
        lambda: say(alice, rooms[1]),
        lambda: alice.post(f"/rooms/{rooms[1]}/invite", {"user_id": bob.user_id}),
        lambda: bob.post(f"/rooms/{rooms[1]}/join", {}),
        lambda: alice.post(f"/rooms/{rooms[3]}/kick", {"user_id": bob.user_id}),
        lambda: sets(alice, rooms[5], "m.room.topic", {"topic": "x"}),
        lambda: bob.post("/createRoom", {"is_direct": True}),
        lambda: bob.post(f"/rooms/{rooms[3]}/forget", {}),
        lambda: bob.put(f"/user/{bob.user_id}/account_data/m.direct", {alice.user_id: [rooms[0]]}),
        lambda: say(bob, rooms[0]),
    )
    for number, act in enumerate(acts):
        await act()
        first = await told(conn_id=f"{number}")
        forget_everything(home)
        assert first == await told(conn_id=f"{number} again"), number
    taken = []
    for size in (0, 1, 4, 1):
        for one in [rooms[0], rooms[2], rooms[4], rooms[5]][:size]:
            await say(alice, one)
        _, statements, acts_made = await cost(home, bob, lists=lists)
        taken.append(statements)
        assert acts_made == 0
    assert taken[2] <= taken[1] <= taken[0] + 10
