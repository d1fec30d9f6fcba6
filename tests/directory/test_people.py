"""Finding people: whom, by which names, and by which not."""

from dataclasses import replace
from typing import Any

from homeserver.storage import user_directory
from tests.world import SETTINGS, Client, Network, good, story


async def found(who: Client, term: str, **more: Any) -> Any:
    return good(await who.post("/user_directory/search", {"search_term": term, **more}))


def ids(answer: Any) -> list[str]:
    return [one["user_id"] for one in answer["results"]]


@story
async def test_those_who_share_a_room_and_those_in_the_open(network: Network) -> None:
    a = network.server("a")
    alice, bob, eve, carl = await a.user("alice"), await a.user("bob"), await a.user("eve"), await a.user("carl")
    good(await alice.put(f"/profile/{alice.user_id}/displayname", {"displayname": "Älice Cooper"}))
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "invite": [bob.user_id]}))["room_id"]
    assert ids(await found(bob, "alice")) == []
    good(await bob.post(f"/join/{room}", {}))
    assert (await found(bob, "ALICE coop"))["results"] == [{"user_id": alice.user_id, "display_name": "Älice Cooper"}]
    for term in ("@alice:a", "alice", "coop", "Cooper Alice"):
        assert ids(await found(bob, term)) == [alice.user_id]
    assert ids(await found(bob, "lice")) == [] == ids(await found(bob, "!!"))
    assert ids(await found(bob, "bob")) == []  # oneself is no news
    assert ids(await found(eve, "alice")) == []
    good(await alice.post("/createRoom", {"preset": "public_chat"}))
    assert ids(await found(eve, "alice")) == [alice.user_id]
    assert ids(await found(carl, "bob")) == []


@story
async def test_a_name_for_one_room_is_known_in_that_room_only(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, eve = await a.user("alice"), await b.user("bob"), await b.user("eve")
    # alice@a, seen from b: everybody there knows her by a public room, bob also by a private one.
    public = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for one in (bob, eve):
        good(await one.post(f"/join/{public}", {}, via="a"))
    private = good(await alice.post("/createRoom", {"preset": "private_chat", "invite": [bob.user_id]}))["room_id"]
    good(await bob.post(f"/join/{private}", {}))
    good(await alice.put(f"/rooms/{private}/state/m.room.member/{alice.user_id}", {"membership": "join", "displayname": "Freddy"}))
    await network.clock.sleep(5)
    assert ids(await found(eve, "freddy")) == []
    assert (await found(eve, "alice"))["results"] == [{"user_id": alice.user_id, "display_name": "alice"}]
    assert ids(await found(bob, "freddy")) == [alice.user_id]
    # and on her own server nobody is found but by their profile
    carol = await a.user("carol")
    good(await carol.post(f"/join/{public}", {}))
    assert ids(await found(carol, "freddy")) == []
    assert (await found(carol, "alice"))["results"][0]["display_name"] == "alice"


@story
async def test_how_far_the_directory_reaches_is_a_setting(network: Network) -> None:
    everybody = network.server("a", directory=replace(SETTINGS.directory, user_directory="all"))
    nobody = network.server("b", directory=replace(SETTINGS.directory, user_directory="off"))
    alice, bob = await everybody.user("alice"), await everybody.user("bob")
    assert ids(await found(alice, "bob")) == [bob.user_id]
    carol, dave = await nobody.user("carol"), await nobody.user("dave")
    room = good(await carol.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await dave.post(f"/join/{room}", {}))
    assert ids(await found(carol, "dave")) == []


@story
async def test_few_of_many_and_the_best_first(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for name in ("anna", "ann", "anne", "annika"):
        good(await (await a.user(name)).post(f"/join/{room}", {}))
    answer = await found(alice, "ann", limit=2)
    assert ids(answer)[0] == "@ann:a" and len(ids(answer)) == 2 and answer["limited"]
    assert not (await found(alice, "ann"))["limited"]


@story
async def test_words_of_one_user_do_not_pile_up(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    for number in range(30):
        await a.server.database.write(user_directory.learn, alice.user_id, [f"a{number} b{number} c{number}"])
    count = await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM directory_words WHERE user_id = '@alice:a'"))
    assert 3 < count <= user_directory.MOST_WORDS


@story
async def test_rooms_that_two_are_in(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    rooms = [good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"] for _ in range(3)]
    for room in rooms[:2]:
        good(await bob.post(f"/join/{room}", {}))
    path = "/_matrix/client/v1/mutual_rooms"
    assert good(await alice.get(path, user_id=bob.user_id)) == {"joined": sorted(rooms[:2]), "count": 2}
    assert good(await alice.get(path, user_id="@nobody:a")) == {"joined": [], "count": 0}
    assert (await alice.get(path, user_id=alice.user_id)).status == 400
    assert (await alice.get(path, user_id="rubbish")).status == 400
    assert (await alice.get(path, user_id=bob.user_id, **{"from": "rubbish"})).status == 400
    assert (await alice.get(path)).json["errcode"] == "M_MISSING_PARAM"
