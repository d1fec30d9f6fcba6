"""What rooms see of accounts: new names, and that somebody is gone."""

from typing import Any

from tests.api.people import registers, secret
from tests.world import Client, Network, good, story


async def member(asker: Client, room: str, user_id: str) -> Any:
    return good(await asker.get(f"/rooms/{room}/state/m.room.member/{user_id}"))


@story
async def test_rooms_learn_the_new_profile(network: Network) -> None:
    home = network.server("a")
    alice, bob = await registers(home, "alice"), await registers(home, "bob")
    rooms = []
    for _ in range(2):
        rooms.append(good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"])
        await network.passes(1)
    for room in rooms:
        good(await bob.post(f"/join/{room}", {}))
    good(await bob.put("/profile/@bob:a/displayname", {"displayname": "Robert"}))
    good(await bob.put("/profile/@bob:a/avatar_url", {"avatar_url": "mxc://a/b"}))
    good(await bob.put("/profile/@bob:a/m.tz", {"m.tz": "Europe/Berlin"}))
    for room in rooms:
        assert await member(alice, room, "@bob:a") == {"membership": "join", "displayname": "Robert", "avatar_url": "mxc://a/b"}
    good(await bob.delete("/profile/@bob:a/displayname"))
    assert await member(alice, rooms[0], "@bob:a") == {"membership": "join", "avatar_url": "mxc://a/b"}
    # Who left, or was sent away, does not come back by a new name.
    good(await bob.post(f"/rooms/{rooms[0]}/leave", {}))
    good(await alice.post(f"/rooms/{rooms[1]}/ban", {"user_id": "@bob:a"}))
    good(await bob.put("/profile/@bob:a/displayname", {"displayname": "Again"}))
    assert (await member(alice, rooms[0], "@bob:a"))["membership"] == "leave"
    assert (await member(alice, rooms[1], "@bob:a"))["membership"] == "ban"


@story
async def test_who_deactivates_leaves(network: Network) -> None:
    home = network.server("a")
    alice, bob = await registers(home, "alice"), await registers(home, "bob")
    joined = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    await network.passes(1)
    invited = good(await alice.post("/createRoom", {"preset": "private_chat", "invite": ["@bob:a"]}))["room_id"]
    good(await bob.post(f"/join/{joined}", {}))
    good(await bob.post("/account/deactivate", {"auth": secret("bob")}))
    for room in (joined, invited):
        assert (await member(alice, room, "@bob:a"))["membership"] == "leave"


@story
async def test_what_was_not_finished_is_taken_up_again(network: Network) -> None:
    home = network.server("a")
    alice, chores = await registers(home, "alice"), home.server.accounts.closing.chores
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    works, failed = dict(chores.jobs), []

    async def fails(user_id: str, device: str | None) -> None:
        failed.append(user_id)
        raise ConnectionError("the power is gone")

    chores.jobs["profile"] = fails
    good(await alice.put("/profile/@alice:a/displayname", {"displayname": "New"}))
    assert failed == ["@alice:a"] and (await member(alice, room, "@alice:a"))["displayname"] == "alice"
    chores.jobs.update(works)
    await network.passes(61)
    assert (await member(alice, room, "@alice:a"))["displayname"] == "New"
