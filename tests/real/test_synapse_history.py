"""What a real Synapse and this server tell each other of a room's past, of what is taken back, and of what one missed while it was down."""

import pytest

from tests.real.people import Person
from tests.real.sides import Sides

VERSIONS = ("10", "11", "12")


def messages(one: Person, room: str) -> list[str]:
    """The messages one can read, oldest first."""
    return [event["event_id"] for event in one.history(room) if event["type"] == "m.room.message"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_said_before_one_joined(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    room = alice.creates(preset="public_chat", room_version=version)
    said = [alice.says(room, f"{number}") for number in range(70)]
    bob.joins(room, alice.server)
    assert messages(bob, room) == said
    kinds = [event["type"] for event in bob.history(room)]
    assert kinds[0] == "m.room.create" and kinds[-1] == "m.room.member"


def test_history_stays_hidden_from_who_was_not_there(sides: Sides) -> None:
    alice, bob = sides.people()
    visibility = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room = alice.creates(preset="public_chat", initial_state=[visibility])
    alice.says(room, "before Bob")
    bob.joins(room, alice.server)
    alice.awaits_member(room, bob.user_id, "join")
    after = alice.says(room, "with Bob")
    bob.awaits_event(room, after)
    assert messages(bob, room) == [after]


@pytest.mark.parametrize("version", VERSIONS)
def test_redaction(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob, room_version=version)
    mine, yours = alice.says(room, "a slip"), bob.says(room, "a worse slip")
    bob.awaits_event(room, mine)
    alice.awaits_event(room, yours)
    taken_back = [alice.must("PUT", f"/rooms/{room}/redact/{event_id}/{event_id[1:]}", {})["event_id"] for event_id in (mine, yours)]
    assert bob.ask("PUT", f"/rooms/{room}/redact/{mine}/1", {}).status == 403
    for event_id in taken_back:
        bob.awaits_event(room, event_id)
    for one in (alice, bob):
        for event_id, redaction in zip((mine, yours), taken_back, strict=True):
            read = one.must("GET", f"/rooms/{room}/event/{event_id}")
            assert read["content"] == {} and read["unsigned"]["redacted_because"]["event_id"] == redaction


def test_said_while_the_other_server_was_stopped(sides: Sides) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob)
    with sides.guest.stopped():
        said = alice.says(room, "are you there?")
    bob.awaits_event(room, said)
    with sides.host.stopped():
        answer = bob.says(room, "now you are not")
    alice.awaits_event(room, answer)
    assert messages(alice, room) == messages(bob, room) == [said, answer]


def test_much_said_while_the_other_server_was_stopped(sides: Sides) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob)
    before = [one.says(room, "before") for one in (alice, bob)]
    bob.awaits_event(room, before[0])
    alice.awaits_event(room, before[1])
    with sides.guest.stopped():
        said = [alice.says(room, f"{number}") for number in range(80)]
        topic = alice.sets(room, "m.room.topic", {"topic": "a monologue"})
    bob.awaits_event(room, topic)
    for one in (alice, bob):  # what was said side by side has no order of its own
        assert set(messages(one, room)[:2]) == set(before) and messages(one, room)[2:] == said
    assert bob.must("GET", f"/rooms/{room}/state/m.room.topic/")["topic"] == "a monologue"


def test_people_come_and_go_while_the_other_server_was_stopped(sides: Sides) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob)
    carol = sides.host_person()
    with sides.guest.stopped():
        carol.joins(room)
        alice.must("POST", f"/rooms/{room}/ban", {"user_id": carol.user_id})
        dave = sides.host_person()
        dave.joins(room)
        last = dave.says(room, "quiet here")
    bob.awaits_event(room, last)
    expected = {alice.user_id: "join", bob.user_id: "join", carol.user_id: "ban", dave.user_id: "join"}
    assert bob.members(room) == alice.members(room) == expected


def test_both_speak_while_they_cannot_reach_each_other(sides: Sides) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob)
    with sides.guest.stopped():
        mine = [alice.says(room, f"alone {number}") for number in range(5)]
        sides.host.stop()
    yours = [bob.says(room, f"alone, too {number}") for number in range(5)]
    yours.append(bob.sets(room, "m.room.member", {"membership": "join", "displayname": "Lonely Bob"}, bob.user_id))
    sides.host.start()
    for event_id in mine:
        bob.awaits_event(room, event_id)
    for event_id in yours:
        alice.awaits_event(room, event_id)
    last = alice.says(room, "together")
    bob.awaits_event(room, last)
    assert set(messages(alice, room)) == set(messages(bob, room)) == {*mine, *yours[:-1], last}
    for one in (alice, bob):
        assert one.must("GET", f"/rooms/{room}/state/m.room.member/{bob.user_id}")["displayname"] == "Lonely Bob"


@pytest.mark.parametrize("version", ["11", "12"])  # which resolve differently
def test_both_change_the_room_while_they_cannot_reach_each_other(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    carol, dave = sides.guest_person(), sides.host_person()
    room = sides.meet(alice, bob, room_version=version, power_level_content_override={"users_default": 50, "invite": 50})
    for one in (carol, dave):
        one.joins(room, alice.server)
        alice.awaits_member(room, one.user_id, "join")
        bob.awaits_member(room, one.user_id, "join")
    with sides.guest.stopped():
        alice.sets(room, "m.room.topic", {"topic": "Alice's"})
        levels = alice.must("GET", f"/rooms/{room}/state/m.room.power_levels/")
        alice.sets(room, "m.room.power_levels", levels | {"users_default": 0})  # from here on Bob may do nothing
        last = alice.sets(room, "org.example.a", {"by": "Alice"})
        sides.host.stop()
    bob.sets(room, "m.room.topic", {"topic": "Bob's"})
    bob.sets(room, "m.room.name", {"name": "Bob's"})
    carol.leaves(room)
    sides.host.start()
    bob.awaits_event(room, last)
    alice.awaits_member(room, carol.user_id, "leave")
    end = alice.says(room, "together")
    bob.awaits_event(room, end)
    states = [{(e["type"], e["state_key"]): e["event_id"] for e in one.must("GET", f"/rooms/{room}/state")} for one in (alice, bob)]
    assert states[0] == states[1]
    assert alice.must("GET", f"/rooms/{room}/state/m.room.topic/")["topic"] == "Alice's"
    assert ("m.room.name", "") not in states[0] and alice.members(room)[carol.user_id] == "leave"
