"""Device lists: what is asked, what is kept, who is told, also when servers were down."""

import pytest

from homeserver.errors import Refused
from homeserver.events.identifiers import ServerName
from homeserver.federation.failures import Answered
from homeserver.keys import uploads
from homeserver.storage import members
from tests.keys.town import Town

ROOM = "!room:a"


def test_keys_of_local_users_as_uploaded_with_the_name_of_the_device(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE", "BARE"), house.person("bob", "LAPTOP")
    keys = alice.publishes("PHONE")
    found, failures = bob.queries(alice, bob)
    assert found["device_keys"] == {
        alice.user_id: {"PHONE": {**keys, "unsigned": {"device_display_name": "PHONE's name"}}},
        bob.user_id: {},
    }
    assert failures == {}


@pytest.mark.parametrize("missing", ["user_id", "device_id", "algorithms", "keys", "signatures"])
def test_device_keys_must_be_whole(missing: str) -> None:
    alice = Town().server("a").person("alice", "PHONE")
    keys = alice.identity("PHONE")
    del keys[missing]
    with pytest.raises(Refused) as refused:
        alice.uploads("PHONE", keys)
    assert (refused.value.status, refused.value.errcode) == (400, "M_BAD_JSON")


def test_device_keys_must_be_those_of_the_device_that_uploads() -> None:
    house = Town().server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    with pytest.raises(Refused):
        uploads.read(bob.user_id, "LAPTOP", alice.identity("PHONE"), {}, {})
    with pytest.raises(Refused):
        uploads.read(alice.user_id, "OTHER", alice.identity("PHONE"), {}, {})
    alien = alice.identity("PHONE")
    alien["keys"]["ed25519:OTHER"] = "x"
    with pytest.raises(Refused):
        uploads.read(alice.user_id, "PHONE", alien, {}, {})


def test_those_who_share_a_room_learn_of_changes_and_others_do_not(town: Town) -> None:
    house = town.server("a")
    alice, bob, eve = house.person("alice", "PHONE"), house.person("bob", "LAPTOP"), house.person("eve", "SPY")
    town.room(ROOM, alice, bob)
    since = house.database.now()
    with house.database.wakeups.watch({bob.user_id, ROOM}) as woken, house.database.wakeups.watch({eve.user_id}) as asleep:
        alice.publishes("PHONE")
        assert (woken.fired, asleep.fired) == (True, False)
    assert bob.learns(since) == ({alice.user_id}, set())
    assert alice.learns(since) == ({alice.user_id}, set())
    assert eve.learns(since) == (set(), set())
    again = house.database.now()
    alice.publishes("PHONE")
    assert bob.learns(again) == (set(), set())


def test_joining_and_leaving_is_told_even_if_no_key_changed(town: Town) -> None:
    house = town.server("a")
    alice, bob, carol = house.person("alice", "A"), house.person("bob", "B"), house.person("carol", "C")
    town.room(ROOM, alice, carol)
    since = house.database.now()
    town.moves(bob, ROOM, "join")
    assert alice.learns(since) == ({bob.user_id}, set())
    assert bob.learns(since) == ({alice.user_id, bob.user_id, carol.user_id}, set())

    since = house.database.now()
    town.moves(bob, ROOM, "leave")
    assert alice.learns(since) == (set(), {bob.user_id})
    assert bob.learns(since) == (set(), {alice.user_id, carol.user_id})

    since = house.database.now()
    town.moves(bob, ROOM, "join")
    town.moves(bob, ROOM, "join")  # a new name
    assert alice.learns(since) == ({bob.user_id}, set())
    since = house.database.now()
    town.moves(bob, ROOM, "join")
    assert alice.learns(since) == (set(), set())


def test_who_still_shares_another_room_has_not_left(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "A"), house.person("bob", "B")
    town.room(ROOM, alice, bob)
    town.room("!other:a", alice, bob)
    since = house.database.now()
    town.moves(bob, ROOM, "leave")
    assert alice.learns(since) == (set(), set())
    assert bob.learns(since) == (set(), set())
    town.moves(alice, "!other:a", "leave")
    assert alice.learns(since) == (set(), {bob.user_id})


def test_a_remote_list_is_read_once_and_then_followed(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.publishes("PHONE")
    town.room(ROOM, bob, alice)
    for _ in range(3):
        found, _ = bob.queries(alice)
        assert list(found["device_keys"][alice.user_id]) == ["PHONE"]
    assert town.asked == [("a", "devices")]

    since = bob.now()
    alice.logs_in("TABLET")
    town.deliver()
    alice.publishes("TABLET", seed=2)
    town.deliver()
    assert bob.learns(since) == ({alice.user_id}, set())
    found, _ = bob.queries(alice)
    assert list(found["device_keys"][alice.user_id]) == ["PHONE", "TABLET"]
    assert found["device_keys"][alice.user_id]["TABLET"]["unsigned"] == {"device_display_name": "TABLET's name"}
    alice.logs_out("PHONE")
    town.deliver()
    assert list(bob.queries(alice)[0]["device_keys"][alice.user_id]) == ["TABLET"]
    assert town.asked == [("a", "devices")]


def test_without_a_shared_room_nothing_is_kept(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.publishes("PHONE")
    bob.queries(alice)
    alice.publishes("PHONE", seed=2)
    assert town.deliver() == []
    found, _ = bob.queries(alice)
    assert found["device_keys"][alice.user_id]["PHONE"]["keys"] == alice.identity("PHONE", 2)["keys"]
    assert town.asked == [("a", "query")] * 2


def test_changes_while_a_server_is_down_wait_as_one_and_are_noticed(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.publishes("PHONE")
    town.room(ROOM, bob, alice)
    bob.queries(alice)
    town.down.add("b")
    for number in range(5):
        alice.logs_in(f"D{number}")
        alice.publishes(f"D{number}", seed=10 + number)
    assert town.deliver() == []
    town.down.clear()
    since = bob.now()
    delivered = town.deliver()
    assert [(edu_type, content["device_id"]) for _, edu_type, content in delivered] == [("m.device_list_update", "D4")]
    assert bob.learns(since) == ({alice.user_id}, set())
    assert sorted(bob.queries(alice)[0]["device_keys"][alice.user_id]) == ["D0", "D1", "D2", "D3", "D4", "PHONE"]
    assert town.asked == [("a", "devices")] * 2


def test_a_stale_list_is_not_shown_when_its_server_is_down(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.publishes("PHONE")
    town.room(ROOM, bob, alice)
    bob.queries(alice)
    town.down.add("a")
    bob.house.hears("a", "m.device_list_update", {"user_id": alice.user_id, "device_id": "X", "stream_id": 99, "prev_id": [98]})
    found, failures = bob.queries(alice)
    assert (found["device_keys"], list(failures)) == ({}, ["a"])


def test_a_list_is_forgotten_when_the_last_room_is_left_on_either_side(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.publishes("PHONE")
    for leaver in (alice, bob):
        town.room(ROOM, bob, alice)
        bob.queries(alice)
        since = bob.now()
        town.moves(leaver, ROOM, "leave")
        assert bob.learns(since) == (set(), {alice.user_id})
        town.asked.clear()
        alice.publishes("PHONE", seed=50)
        town.deliver()
        assert bob.learns(since) == (set(), {alice.user_id})
        assert bob.queries(alice)[0]["device_keys"][alice.user_id]["PHONE"]["keys"] == alice.identity("PHONE", 50)["keys"]
        assert town.asked == [("a", "query")]
        alice.publishes("PHONE")
        town.moves(leaver, ROOM, "join")
        assert bob.queries(alice)[0]["device_keys"][alice.user_id]["PHONE"]["keys"] == alice.identity("PHONE")["keys"]


def test_who_joins_a_room_announces_devices_to_servers_that_did_not_follow(town: Town) -> None:
    alice, bob, carol = (town.server(name).person("u", "D" + name) for name in "abc")
    town.room(ROOM, bob, carol)
    town.moves(alice, ROOM, "join")
    announced = [(server, content["device_id"]) for server, _, content in town.deliver() if content["user_id"] == alice.user_id]
    assert announced == [("b", "Da"), ("c", "Da")]
    town.room("!other:b", bob)
    town.moves(alice, "!other:b", "join")
    town.moves(alice, "!other:b", "join")
    assert [content for _, _, content in town.deliver() if content["user_id"] == alice.user_id] == []


def test_a_device_without_keys_that_nobody_knows_is_no_news(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    town.moves(alice, ROOM, "join")
    town.moves(bob, ROOM, "join")
    since = alice.now()
    town.deliver()
    assert alice.learns(since) == (set(), set())


@pytest.mark.parametrize(
    "forged",
    [
        {"user_id": "@alice:a", "device_id": "X", "stream_id": 7, "prev_id": []},
        {"user_id": "@bob:evil", "device_id": "X", "stream_id": "7"},
        {"user_id": "@bob:evil", "device_id": "", "stream_id": 7},
        {"user_id": "@bob:evil", "device_id": "X", "stream_id": 7, "prev_id": 6},
        {"user_id": 5, "device_id": "X", "stream_id": 7},
        {"user_id": "@bob:evil", "device_id": "X", "stream_id": 7, "keys": {"user_id": "@alice:a", "device_id": "X"}},
        {},
    ],
)
def test_a_server_speaks_for_its_own_users_only_and_in_the_right_form(forged: dict[str, object]) -> None:
    town = Town()
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    evil = town.server("evil").person("bob", "X")
    alice.publishes("PHONE")
    town.room(ROOM, bob, alice, evil)
    bob.queries(alice)
    since = bob.now()
    town.asked.clear()
    bob.house.hears("evil", "m.device_list_update", forged)
    assert bob.learns(since) == (set(), set())
    assert list(bob.queries(alice)[0]["device_keys"][alice.user_id]) == ["PHONE"]
    assert town.asked == []


def test_what_a_server_says_about_others_or_in_the_wrong_form_is_left_out(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    good = alice.publishes("PHONE")
    town.room(ROOM, bob, alice)

    class Liar:
        async def user_devices(self, server: str, user_id: str, timeout: float) -> object:
            stolen = {**good, "device_id": "STOLEN"}
            return {
                "user_id": user_id,
                "stream_id": "many",
                "devices": [
                    {"device_id": "PHONE", "keys": good},
                    {"device_id": "STOLEN", "keys": good},
                    {"device_id": "OTHER", "keys": {**stolen, "user_id": "@bob:b"}},
                    {"device_id": 5, "keys": good},
                    {"device_id": "NUL", "keys": {**good, "device_id": "NUL", "x": "\0"}},
                    "nonsense",
                ],
                "master_key": {"user_id": "@bob:b"},
            }

    object.__setattr__(bob.house.queries.elsewhere, "peers", Liar())
    found, failures = bob.queries(alice)
    assert (list(found["device_keys"][alice.user_id]), found["master_keys"], failures) == (["PHONE"], {}, {})


def test_many_lists_of_one_server_are_read_in_one_request(town: Town) -> None:
    house = town.server("a")
    people = [house.person(f"p{number}", "PHONE") for number in range(12)]
    bob = town.server("b").person("bob", "LAPTOP")
    for person in people:
        person.publishes("PHONE")
    town.room(ROOM, bob, *people)
    for _ in range(2):
        found, _ = bob.queries(*people)
        assert all(list(devices) == ["PHONE"] for devices in found["device_keys"].values())
    assert town.asked == [("a", "query")]
    since = bob.now()
    people[3].publishes("PHONE", seed=9)
    town.deliver()
    assert bob.learns(since) == ({people[3].user_id}, set())
    assert bob.queries(*people)[0]["device_keys"][people[3].user_id]["PHONE"]["keys"] == people[3].identity("PHONE", 9)["keys"]
    assert town.asked == [("a", "query"), ("a", "devices")]


def test_what_was_read_while_an_update_came_in_is_not_kept(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.publishes("PHONE")
    town.room(ROOM, bob, alice)
    old = bob.house.queries.elsewhere.peers

    class Slow:
        async def user_devices(self, server: str, user_id: str, timeout: float) -> object:
            answer = await old.user_devices(server, user_id, timeout)
            alice.publishes("PHONE", seed=9)
            town.deliver()
            return answer

    object.__setattr__(bob.house.queries.elsewhere, "peers", Slow())
    bob.queries(alice)
    object.__setattr__(bob.house.queries.elsewhere, "peers", old)
    assert bob.queries(alice)[0]["device_keys"][alice.user_id]["PHONE"]["keys"] == alice.identity("PHONE", 9)["keys"]
    assert town.asked == [("a", "devices")] * 2


def test_one_list_that_is_refused_does_not_hide_the_others(town: Town) -> None:
    house = town.server("a")
    alice, ghost = house.person("alice", "PHONE"), house.person("ghost")
    bob = town.server("b").person("bob", "LAPTOP")
    alice.publishes("PHONE")
    town.room(ROOM, bob, alice, ghost)
    old = bob.house.queries.elsewhere.peers

    class Picky:
        async def user_devices(self, server: ServerName, user_id: str, timeout: float) -> object:
            if user_id == ghost.user_id:
                raise Answered(server, 404, "M_NOT_FOUND", "who?")
            return await old.user_devices(server, user_id, timeout)

        query_keys = staticmethod(old.query_keys)

    object.__setattr__(bob.house.queries.elsewhere, "peers", Picky())
    found, failures = bob.queries(alice, ghost)
    assert ({user: list(devices) for user, devices in found["device_keys"].items()}, failures) == (
        {alice.user_id: ["PHONE"], ghost.user_id: []},
        {},
    )


def test_a_server_that_never_answers_costs_the_time_allowed_and_no_more(town: Town) -> None:
    names = ["a", "black", "hole"]
    people = [town.server(name).person("u", "PHONE") for name in names]
    people[0].publishes("PHONE")
    bob = town.server("b").person("bob", "LAPTOP")
    old = bob.house.queries.elsewhere.peers

    class Hole:
        async def query_keys(self, server: str, body: dict[str, object], timeout: float) -> object:
            if server != "a":
                await town.clock.sleep(3600)
            return await old.query_keys(server, body, timeout)

    object.__setattr__(bob.house.queries.elsewhere, "peers", Hole())
    object.__setattr__(bob.house.queries.elsewhere, "at_once", 2)
    before = town.clock.now()
    found, failures = bob.queries(*people)
    assert (list(found["device_keys"]), sorted(failures)) == (["@u:a"], ["black", "hole"])
    assert town.clock.now() - before <= 12_000


def test_telling_fifty_servers_takes_few_statements(town: Town) -> None:
    alice = town.server("a").person("alice", "PHONE")
    town.room(ROOM, alice)
    house = alice.house
    house.result(house.database.write(lambda txn: members.count_servers(txn, ROOM, {f"s{number}": 1 for number in range(50)})))
    before = house.database.counts.statements
    alice.publishes("PHONE")
    assert house.database.counts.statements - before <= 18
    waiting = house.result(house.database.read(lambda txn: txn.all("SELECT server, content FROM outgoing_edus")))
    assert len({server for server, _ in waiting}) == len(waiting) == 50
