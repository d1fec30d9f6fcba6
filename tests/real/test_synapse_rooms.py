"""Rooms shared with a real Synapse: who gets in, who does not, and who is thrown out.

Each story is told twice: `host` is the server where the room is made, `guest` the other; one of them is ours.
"""

import pytest

from tests.real.sides import Sides

VERSIONS = ("10", "11", "12")


@pytest.mark.parametrize("version", VERSIONS)
def test_invite_and_talk(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    room = alice.creates(preset="private_chat", name="Between us", room_version=version)
    alice.invites(bob, room)
    bob.awaits_membership(room, "invite")
    shown = {event["type"]: event["content"] for event in bob.shown[room]}
    assert shown["m.room.name"] == {"name": "Between us"} and shown["m.room.create"]["room_version"] == version
    bob.joins(room)
    alice.awaits_member(room, bob.user_id, "join")
    bob.awaits_event(room, alice.says(room, "hello"))
    event = alice.awaits_event(room, bob.says(room, "hello yourself"))
    assert event["content"]["body"] == "hello yourself" and event["sender"] == bob.user_id
    assert alice.members(room) == bob.members(room) == {alice.user_id: "join", bob.user_id: "join"}


def test_an_invite_is_declined_and_another_withdrawn(sides: Sides) -> None:
    alice, bob = sides.people()
    room = alice.creates(preset="private_chat")
    alice.invites(bob, room)
    bob.awaits_membership(room, "invite")
    bob.leaves(room)
    alice.awaits_member(room, bob.user_id, "leave")
    alice.invites(bob, room)
    bob.awaits_membership(room, "invite")
    alice.must("POST", f"/rooms/{room}/kick", {"user_id": bob.user_id, "reason": "the wrong Bob"})
    bob.awaits_membership(room, "leave")
    bob.may_not_join(room, alice.server)


@pytest.mark.parametrize("version", VERSIONS)
def test_join_by_alias(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    name = f"table-{alice.device_id}".lower()
    room = alice.creates(preset="public_chat", room_alias_name=name, room_version=version, topic="All welcome")
    assert bob.joins(f"#{name}:{alice.server}") == room
    alice.awaits_member(room, bob.user_id, "join")
    assert bob.must("GET", f"/rooms/{room}/state/m.room.topic/")["topic"] == "All welcome"
    bob.awaits_event(room, alice.says(room, "welcome"))
    # A second person of the same server needs no handshake.
    carol = sides.guest_person()
    carol.joins(room)
    alice.awaits_member(room, carol.user_id, "join")


def test_the_list_of_public_rooms_and_profiles(sides: Sides) -> None:
    alice, bob = sides.people()
    room = alice.creates(preset="public_chat", visibility="public", name=f"Found {alice.device_id}")
    alice.must("PUT", f"/profile/{alice.user_id}/displayname", {"displayname": "Alice of elsewhere"})
    listed = bob.must("POST", "/publicRooms", {"filter": {"generic_search_term": f"Found {alice.device_id}"}}, server=alice.server)
    assert [entry["room_id"] for entry in listed["chunk"]] == [room]
    assert bob.must("GET", f"/profile/{alice.user_id}")["displayname"] == "Alice of elsewhere"


@pytest.mark.parametrize("version", VERSIONS)
def test_knock(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    rule = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
    room = alice.creates(preset="private_chat", name="A door", room_version=version, initial_state=[rule])
    bob.may_not_join(room, alice.server)
    bob.knocks(room, alice.server)
    bob.awaits_membership(room, "knock")
    assert {"name": "A door"} in [event["content"] for event in bob.shown[room] if event["type"] == "m.room.name"]
    assert alice.awaits_member(room, bob.user_id, "knock")["content"]["reason"] == "let me in"
    alice.invites(bob, room)
    bob.awaits_membership(room, "invite")
    bob.joins(room)
    alice.awaits_member(room, bob.user_id, "join")
    carol = sides.guest_person()
    carol.knocks(room, alice.server)
    alice.awaits_member(room, carol.user_id, "knock")
    alice.must("POST", f"/rooms/{room}/kick", {"user_id": carol.user_id})
    carol.awaits_membership(room, "leave")


@pytest.mark.parametrize("version", VERSIONS)
def test_restricted_join(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    space = alice.creates(preset="public_chat", creation_content={"type": "m.space"}, room_version=version)
    content = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
    rule = {"type": "m.room.join_rules", "state_key": "", "content": content}
    room = alice.creates(preset="private_chat", room_version=version, initial_state=[rule])
    bob.may_not_join(room, alice.server)
    bob.joins(space, alice.server)
    alice.awaits_member(space, bob.user_id, "join")
    bob.joins(room, alice.server)
    joined = alice.awaits_member(room, bob.user_id, "join")
    assert joined["content"]["join_authorised_via_users_server"] == alice.user_id
    bob.awaits_event(room, alice.says(room, "you are in"))
    alice.awaits_event(room, bob.says(room, "thanks"))


@pytest.mark.parametrize("version", VERSIONS)
def test_ban_and_unban(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob, room_version=version)
    alice.must("POST", f"/rooms/{room}/ban", {"user_id": bob.user_id, "reason": "noise"})
    bob.awaits_membership(room, "leave")
    assert bob.ask("PUT", f"/rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "but"}).status == 403
    bob.may_not_join(room, alice.server)
    alice.must("POST", f"/rooms/{room}/unban", {"user_id": bob.user_id})
    bob.joins(room, alice.server)
    alice.awaits_event(room, bob.says(room, "back"))


@pytest.mark.parametrize("version", VERSIONS)
def test_leave_and_rejoin(sides: Sides, version: str) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob, room_version=version)
    bob.leaves(room)
    alice.awaits_member(room, bob.user_id, "leave")
    unheard = alice.says(room, "while you were away")
    bob.joins(room, alice.server)
    bob.awaits_membership(room, "join")
    bob.awaits_event(room, alice.says(room, "welcome back"))
    alice.awaits_event(room, bob.says(room, "thanks"))
    assert unheard in [event["event_id"] for event in bob.history(room)]


def test_power_and_state_go_over(sides: Sides) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob)
    assert bob.ask("PUT", f"/rooms/{room}/state/m.room.topic/", {"topic": "mine"}).status == 403
    levels = alice.must("GET", f"/rooms/{room}/state/m.room.power_levels/")
    levels.setdefault("users", {})[bob.user_id] = 50
    bob.awaits_event(room, alice.sets(room, "m.room.power_levels", levels))
    alice.awaits_event(room, bob.sets(room, "m.room.topic", {"topic": "ours"}))
    assert alice.must("GET", f"/rooms/{room}/state/m.room.topic/")["topic"] == "ours"


def test_both_speak_at_once(sides: Sides) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob)
    said = [one.says(room, f"{one.user_id} {number}") for number in range(15) for one in (alice, bob)]
    for event_id in said:
        alice.awaits_event(room, event_id)
        bob.awaits_event(room, event_id)
    texts = [{e["event_id"] for e in one.history(room) if e["type"] == "m.room.message"} for one in (alice, bob)]
    assert texts == [set(said), set(said)]
