"""Messages between devices: once, in order, never lost when an answer is lost, never too large for another server."""

import pytest

from homeserver.errors import Refused
from homeserver.keys import messages
from homeserver.storage import to_device
from tests.keys.town import Person, Town


def bodies(person: Person, device: str, after: int = 0) -> list[object]:
    return [message["content"]["n"] for message in person.receives(device, after)[0]]


def test_a_message_arrives_at_the_devices_named_and_wakes_them(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP", "OTHER")
    with house.database.wakeups.watch({"@bob:a/LAPTOP"}) as woken, house.database.wakeups.watch({"@bob:a/OTHER"}) as asleep:
        alice.sends("PHONE", {bob.user_id: {"LAPTOP": {"n": 1}, "GONE": {"n": 1}}, "@nobody:a": {"X": {"n": 1}}})
        assert (woken.fired, asleep.fired) == (True, False)
    assert bob.receives("LAPTOP")[0] == [{"type": "m.test", "sender": alice.user_id, "content": {"n": 1}}]
    assert bob.receives("OTHER")[0] == bob.receives("GONE")[0] == []


def test_a_star_means_all_devices(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP", "OTHER")
    alice.sends("PHONE", {bob.user_id: {"*": {"n": 1}, "OTHER": {"n": 2}}})
    assert (bodies(bob, "LAPTOP"), bodies(bob, "OTHER")) == ([1], [2])


def test_the_same_transaction_is_one_message_but_only_of_the_same_device_and_type(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE", "TABLET"), house.person("bob", "LAPTOP")
    for device in ("PHONE", "PHONE", "TABLET"):
        alice.sends(device, {bob.user_id: {"LAPTOP": {"n": device}}})
    assert bodies(bob, "LAPTOP") == ["PHONE", "TABLET"]


def test_messages_stay_until_the_device_comes_back_with_the_newer_token(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    for number in range(250):
        alice.sends("PHONE", {bob.user_id: {"LAPTOP": {"n": number}}}, txn_id=str(number))
    first, seen = bob.receives("LAPTOP")
    again, _ = bob.receives("LAPTOP")
    assert first == again and len(first) == to_device.PAGE
    received = [message["content"]["n"] for message in first]
    while True:
        house.result(house.database.write(to_device.acknowledge, bob.user_id, "LAPTOP", seen))
        page, seen = bob.receives("LAPTOP", seen)
        received += [message["content"]["n"] for message in page]
        if not page:
            break
    assert received == list(range(250))
    assert not house.result(house.database.read(to_device.any_waiting, bob.user_id, "LAPTOP"))


def test_a_device_that_comes_back_under_its_old_id_never_sees_numbers_start_over(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    alice.sends("PHONE", {bob.user_id: {"LAPTOP": {"n": 1}}})
    seen = bob.receives("LAPTOP")[1]
    bob.logs_out("LAPTOP")
    town.reactor.advance(1)
    bob.logs_in("LAPTOP")
    assert bodies(bob, "LAPTOP") == []
    alice.sends("PHONE", {bob.user_id: {"LAPTOP": {"n": 2}}}, txn_id="2")
    assert bodies(bob, "LAPTOP", after=seen) == [2]


def test_messages_to_another_server_arrive_once_even_when_it_was_down(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP", "OTHER")
    town.down.add("b")
    for number in range(3):
        alice.sends("PHONE", {bob.user_id: {"*": {"n": number}}}, txn_id=str(number))
    town.down.clear()
    delivered = town.deliver()
    assert bodies(bob, "LAPTOP") == bodies(bob, "OTHER") == [0, 1, 2]
    for _, edu_type, content in delivered:
        assert len(content["message_id"]) <= 32
        bob.house.hears("a", edu_type, content)
    assert bodies(bob, "LAPTOP") == [0, 1, 2]


def test_large_messages_go_in_parts_that_fit(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", *(f"D{n}" for n in range(40)))
    alice.sends("PHONE", {bob.user_id: {f"D{n}": {"n": n, "data": "x" * 10_000} for n in range(40)}})
    delivered = town.deliver()  # asserts the size of each
    assert 7 <= len(delivered) <= 10
    assert [bodies(bob, f"D{n}") for n in range(40)] == [[n] for n in range(40)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"@bob:b": {"D": {"data": "x" * 70_000}}},
        {"@bob:b": {"D": {"half": 0.5}}},
        {"@bob:b": {"D": {"big": 2**60}}},
        {"@bob:b": {"D": {"nul": "\0"}}},
        {"@bob:b": {"D": "text"}},
        {"@bob:b": {"": {}}},
        {"@bob:b": {"D\0": {}}},
        {"@bob:b": {"D" * 300: {}}},
        {"@bob:b": 5},
        {"bob": {"D": {}}},
        {"@bob:no host": {"D": {}}},
        {"@" + "b" * 300 + ":b": {"D": {}}},
    ],
)
def test_what_would_stop_a_queue_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(Refused):
        messages.read(wrong, "m.test")


def test_text_that_only_speaks_of_nul_is_text() -> None:
    assert messages.read({"@bob:b": {"D": {"text": "\\u0000"}}}, "m.test")["@bob:b"]["D"] == b'{"text":"\\\\u0000"}'


@pytest.mark.parametrize("event_type", ["", "x" * 256])
def test_types_are_short_texts(event_type: str) -> None:
    with pytest.raises(Refused):
        messages.read({}, event_type)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": "@alice:a"},
        {"sender": "nobody"},
        {"sender": None},
        {"type": 5},
        {"type": ""},
        {"message_id": ""},
        {"message_id": None},
        {"messages": []},
        {"messages": {"@bob:b": []}},
        {"messages": {"@bob:b": {"LAPTOP": "text"}}},
    ],
)
def test_a_server_speaks_for_its_own_users_only_and_in_the_right_form(wrong: dict[str, object]) -> None:
    town = Town()
    bob = town.server("b").person("bob", "LAPTOP")
    good = {"sender": "@eve:evil", "type": "m.test", "message_id": "1", "messages": {bob.user_id: {"LAPTOP": {"n": 1}}}}
    bob.house.hears("evil", "m.direct_to_device", {**good, **wrong})
    assert bob.receives("LAPTOP")[0] == []
    bob.house.hears("evil", "m.direct_to_device", {**good, "message_id": "2"})
    assert bodies(bob, "LAPTOP") == [1]


def test_a_server_does_not_send_through_us_to_a_third(town: Town) -> None:
    town.server("c")
    bob = town.server("b").person("bob", "LAPTOP")
    content = {"sender": "@eve:evil", "type": "m.test", "message_id": "1", "messages": {"@carol:c": {"*": {"n": 1}}}}
    bob.house.hears("evil", "m.direct_to_device", content)
    assert town.deliver() == []


def test_one_sender_cannot_fill_an_inbox_nor_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_device, "MOST_OF_ONE_SENDER", 3)
    house = Town().server("a")
    alice, bob, eve = house.person("alice", "PHONE"), house.person("bob", "LAPTOP"), house.person("eve", "SPY")
    for number in range(5):
        eve.sends("SPY", {bob.user_id: {"LAPTOP": {"n": number}}}, txn_id=str(number))
    alice.sends("PHONE", {bob.user_id: {"LAPTOP": {"n": "alice"}}})
    assert bodies(bob, "LAPTOP") == [0, 1, 2, "alice"]


def test_sending_to_fifty_people_takes_few_statements(town: Town) -> None:
    house = town.server("a")
    alice, people = house.person("alice", "PHONE"), [house.person(f"p{number}", "D1", "D2") for number in range(50)]
    alice.sends("PHONE", {one.user_id: {"*": {"n": 0}} for one in people}, txn_id="0")
    before = house.database.counts.statements
    alice.sends("PHONE", {one.user_id: {"*": {"n": 1}} for one in people})
    assert house.database.counts.statements - before <= 8


def test_a_dehydrated_device_collects_messages_and_goes_with_them(town: Town) -> None:
    house = town.server("a")
    alice, bob = house.person("alice", "PHONE"), house.person("bob", "LAPTOP")
    act = house.dehydration
    for device in ("DRY", "DRIER"):
        body = {
            "device_id": device,
            "device_data": {"algorithm": "x"},
            "device_keys": {**bob.identity(device), "dehydrated": True},
            "one_time_keys": bob.one_time(device, "A"),
        }
        assert house.result(act.put(bob.user_id, body)) == device
    assert list(alice.queries(bob)[0]["device_keys"][bob.user_id]) == ["DRIER"]
    assert alice.claims(bob, "DRY", "DRIER") == {"DRIER": "A"}
    alice.sends("PHONE", {bob.user_id: {"*": {"n": 1}}})
    found, last = house.result(act.messages(bob.user_id, "DRIER", 0))
    assert len(found) == 1 and house.result(act.messages(bob.user_id, "DRIER", last)) == ([], last)
    with pytest.raises(Refused):
        house.result(act.messages(bob.user_id, "LAPTOP", 0))
    assert house.result(act.delete(bob.user_id)) == "DRIER"
    for gone in (act.get(bob.user_id), act.messages(bob.user_id, "DRIER", 0)):
        with pytest.raises(Refused):
            house.result(gone)
    assert alice.queries(bob)[0]["device_keys"][bob.user_id] == {}
