"""States that nothing refers to go after two sweeps; those that something refers to never do, whatever happens in between."""

from random import Random
from typing import Any

import pytest

from homeserver.events import state_map
from homeserver.rooms.sweeping import Sweeping
from homeserver.storage import room_jobs, rooms, state, state_garbage
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction
from tests.world import Client, Home, Network, good, story


def nodes_of(txn: Transaction, root: bytes) -> set[bytes]:
    """All nodes of a state; fails where one is missing."""
    found: set[bytes] = set()
    waiting = [root] if root != state_map.EMPTY else []
    while waiting:
        node_id = waiting.pop()
        raw = txn.value("SELECT node FROM state_nodes WHERE id = :id", id=node_id)
        assert raw is not None, "a node that is in use was deleted"
        found.add(node_id)
        waiting += state_map.children(bytes(raw))
    return found


def used(txn: Transaction) -> set[bytes]:
    found: set[bytes] = set()
    for pair in txn.all("SELECT state_before, state_after FROM events"):
        found.update(node for root in pair if root is not None for node in nodes_of(txn, bytes(root)))
    for (root,) in txn.all("SELECT state_root FROM rooms"):
        found |= nodes_of(txn, bytes(root))
    return found


def there(txn: Transaction) -> set[bytes]:
    return {bytes(node) for (node,) in txn.all("SELECT id FROM state_nodes")}


async def sweeping_of(home: Home) -> Sweeping:
    return Sweeping(home.server.database, home.server.database.wakeups.clock)


async def new_room(alice: Client, topics: int) -> str:
    room: str = good(await alice.post("/createRoom", {}))["room_id"]
    for number in range(topics):
        good(await alice.put(f"/rooms/{room}/state/m.thing/{number}", {"n": number}))
    return room


def forget(txn: Transaction, room_id: str) -> None:
    """As an operator deletes a room."""
    while room_jobs.purge_events(txn, room_id, 100):
        pass
    room_jobs.purge_room(txn, room_id)


def tear(txn: Transaction, room: str, changes: dict[Any, int | None]) -> bytes:
    """A state that nothing refers to."""
    known = rooms.get(txn, room)
    assert known is not None
    return state.put(txn, known.state_root, changes)


@story
async def test_a_deleted_room_gives_its_states_back_after_two_sweeps(network: Network) -> None:
    a = network.server("a")
    alice, database = await a.user("alice"), a.server.database
    kept, gone = await new_room(alice, 30), await new_room(alice, 30)
    before = await database.read(there)
    await database.write(forget, gone)
    sweeping = await sweeping_of(a)
    first, second, third = await sweeping.sweep(), await sweeping.sweep(), await sweeping.sweep()
    assert first.suspected > 10 and first.deleted == 0
    assert second.deleted == first.suspected and second.size > 1000 and third.deleted == 0
    assert await database.read(there) == await database.read(used) < before
    assert good(await alice.get(f"/rooms/{kept}/state/m.thing/7")) == {"n": 7}


@story
async def test_what_is_used_again_while_it_is_suspect_stays(network: Network) -> None:
    a = network.server("a")
    alice, database = await a.user("alice"), a.server.database
    room = await new_room(alice, 20)
    stray = await database.write(tear, room, {("m.thing", "1"): None})
    sweeping = await sweeping_of(a)
    assert (await sweeping.sweep()).suspected > 0

    def use(txn: Transaction) -> None:
        known = rooms.lock(txn, room)
        assert known is not None and tear(txn, room, {("m.thing", "1"): None}) == stray
        txn.run("UPDATE events SET state_after = :root WHERE num = :num", root=stray, num=known.heads[0].num)
        rooms.store(txn, Room(*[getattr(known, name) if name != "seq" else known.seq + 1 for name in Room.__slots__]))  # type: ignore[attr-defined]

    await database.write(use)
    assert (await sweeping.sweep()).deleted == 0
    assert await database.read(there) == await database.read(used)


@story
async def test_a_room_that_changed_after_the_look_keeps_everything(network: Network) -> None:
    a = network.server("a")
    alice, database = await a.user("alice"), a.server.database
    room = await new_room(alice, 20)
    stray = await database.write(tear, room, {("m.thing", "1"): None})
    seen = await database.read(state_garbage.state_of, room)
    assert seen is not None
    good(await alice.put(f"/rooms/{room}/state/m.thing/0", {"n": "new"}))
    assert await database.write(state_garbage.delete, room, seen[0], [stray]) is None
    assert stray in await database.read(there)


@pytest.mark.parametrize("seed", range(4))
@story
async def test_whatever_happens_nothing_in_use_is_missing(network: Network, seed: int) -> None:
    random = Random(seed)
    a = network.server("a")
    alice, database = await a.user("alice"), a.server.database
    living = [await new_room(alice, 10)]
    sweeping = await sweeping_of(a)
    for _ in range(25):
        match random.randrange(5):
            case 0:
                living.append(await new_room(alice, random.randrange(25)))
            case 1 if len(living) > 1:
                await database.write(forget, living.pop(random.randrange(len(living))))
            case 2:
                await database.write(tear, random.choice(living), {("m.thing", str(random.randrange(20))): None})
            case 3:
                await sweeping.sweep()
            case _:
                path = f"/rooms/{random.choice(living)}/state/m.thing/{random.randrange(20)}"
                good(await alice.put(path, {"n": random.randrange(3)}))
        assert await database.read(used) <= await database.read(there)
    for _ in range(2):
        await sweeping.sweep()
    assert await database.read(there) == await database.read(used)
