"""One-time keys: each is handed out once, oldest first; fallback keys when they run out."""

import pytest

from homeserver.errors import BadJSON, InvalidParam, Refused
from tests.keys.town import Town


def test_counts_are_always_there(town: Town) -> None:
    alice = town.server("a").person("alice", "PHONE")
    assert alice.counts("PHONE") == ({"signed_curve25519": 0}, [])
    assert alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A", "B")) == {"signed_curve25519": 2}


def test_keys_come_out_in_the_order_of_upload_and_once_only(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "Z"))
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A", "B"))
    assert [bob.claims(alice, "PHONE") for _ in range(4)] == [{"PHONE": "Z"}, {"PHONE": "A"}, {"PHONE": "B"}, {}]


def test_an_upload_that_is_repeated_does_not_bring_back_what_was_claimed(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    keys = alice.one_time("PHONE", "A", "B")
    alice.uploads("PHONE", one_time=keys)
    assert bob.claims(alice, "PHONE") == {"PHONE": "A"}
    assert alice.uploads("PHONE", one_time=keys) == {"signed_curve25519": 1}
    assert [bob.claims(alice, "PHONE"), bob.claims(alice, "PHONE")] == [{"PHONE": "B"}, {}]


def test_another_key_under_the_same_id_is_refused_and_nothing_changes(town: Town) -> None:
    alice = town.server("a").person("alice", "PHONE")
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A"))
    changed = alice.one_time("PHONE", "A", "B")
    changed["signed_curve25519:A"]["key"] = "another"
    with pytest.raises(InvalidParam):
        alice.uploads("PHONE", one_time=changed)
    assert alice.counts("PHONE")[0] == {"signed_curve25519": 1}


def test_the_fallback_key_is_given_when_no_other_is_left_and_its_use_is_told(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A"), fallback=alice.one_time("PHONE", "SPARE"))
    assert alice.counts("PHONE")[1] == ["signed_curve25519"]
    assert [bob.claims(alice, "PHONE") for _ in range(3)] == [{"PHONE": "A"}, {"PHONE": "SPARE"}, {"PHONE": "SPARE"}]
    assert alice.counts("PHONE")[1] == []
    alice.uploads("PHONE", fallback=alice.one_time("PHONE", "SPARE"))
    assert alice.counts("PHONE")[1] == []
    alice.uploads("PHONE", fallback=alice.one_time("PHONE", "NEW"))
    assert alice.counts("PHONE")[1] == ["signed_curve25519"]


def test_a_claim_wakes_the_device_whose_key_was_taken(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A"))
    with house.database.wakeups.watch({"@alice:a/PHONE"}) as watch:
        bob.claims(alice, "PHONE")
        assert watch.fired


def test_keys_are_claimed_from_other_servers_once(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A"), fallback=alice.one_time("PHONE", "SPARE"))
    assert [bob.claims(alice, "PHONE"), bob.claims(alice, "PHONE")] == [{"PHONE": "A"}, {"PHONE": "SPARE"}]


def test_a_server_that_is_down_is_a_failure(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A"))
    town.down.add("a")
    claimed, failures = bob.house.result(bob.house.claims.claim({alice.user_id: {"PHONE": "signed_curve25519"}}, 10))
    assert (claimed, list(failures)) == ({}, ["a"])


@pytest.mark.parametrize(
    "keys",
    [
        {"signed_curve25519:A": "bare"},
        {"signed_curve25519:A": {"signatures": {}}},
        {"signed_curve25519:A": {"key": 1}},
        {"signed_curve25519:A": {"key": "k", "signatures": {"@a:b": {"x": 1}}}},
        {"signed_curve25519:A": {"key": "k", "signatures": []}},
        {"signed_curve25519:A": {"key": "k", "half": 0.5}},
        {"signed_curve25519:A": {"key": "k", "big": 2**60}},
        {"signed_curve25519:A": {"key": "k", "long": "x" * 5000}},
        {"signed_curve25519:A": {"key": "k", "nul": "\0"}},
        {"signed_curve25519": {"key": "k"}},
        {":A": {"key": "k"}},
        {"a:" + "A" * 300: {"key": "k"}},
        {"a:A": 7},
    ],
)
def test_what_could_not_be_sent_to_another_server_is_refused(keys: dict[str, object]) -> None:
    alice = Town().server("a").person("alice", "PHONE")
    with pytest.raises(Refused) as refused:
        alice.uploads("PHONE", one_time=keys)
    assert refused.value.status in (400, 413)
    assert alice.counts("PHONE")[0] == {"signed_curve25519": 0}


def test_one_fallback_key_per_algorithm() -> None:
    alice = Town().server("a").person("alice", "PHONE")
    with pytest.raises(BadJSON):
        alice.uploads("PHONE", fallback=alice.one_time("PHONE", "A", "B"))


def test_a_device_keeps_a_bounded_number_of_keys() -> None:
    alice = Town().server("a").person("alice", "PHONE")
    for batch in range(2):
        alice.uploads("PHONE", one_time=alice.one_time("PHONE", *(f"{batch}-{number}" for number in range(500))))
    with pytest.raises(Refused):
        alice.uploads("PHONE", one_time=alice.one_time("PHONE", "one more"))
    assert alice.counts("PHONE")[0] == {"signed_curve25519": 1000}


def test_fifty_keys_take_few_statements(town: Town) -> None:
    alice = town.server("a").person("alice", "PHONE")
    before = alice.house.database.counts.statements
    alice.uploads("PHONE", alice.identity("PHONE"), alice.one_time("PHONE", *map(str, range(50))), alice.one_time("PHONE", "SPARE"))
    assert alice.house.database.counts.statements - before <= 16


def test_claiming_from_fifty_people_takes_few_statements(town: Town) -> None:
    house = town.server("a")
    people = [house.person(f"p{number}", "PHONE") for number in range(50)]
    for one in people:
        one.uploads("PHONE", one_time=one.one_time("PHONE", "A", "B"))
    before = house.database.counts.statements
    wanted = {one.user_id: {"PHONE": "signed_curve25519"} for one in people}
    claimed, _ = house.result(house.claims.claim(wanted, 10))
    assert len(claimed) == 50
    assert house.database.counts.statements - before <= 4


def test_a_device_that_is_gone_publishes_nothing(town: Town) -> None:
    alice = town.server("a").person("alice", "PHONE")
    alice.uploads("PHONE", one_time=alice.one_time("PHONE", "A"), fallback=alice.one_time("PHONE", "SPARE"))
    alice.logs_out("PHONE")
    with pytest.raises(InvalidParam):
        alice.uploads("PHONE", one_time=alice.one_time("PHONE", "B"))
    alice.logs_in("PHONE")
    assert alice.counts("PHONE") == ({"signed_curve25519": 0}, [])
