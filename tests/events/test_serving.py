"""Events in client format, and drafts on their way to PDUs."""

import json

from homeserver.events import drafts, serving, versions
from homeserver.events.identifiers import EventID, RoomID
from tests.events.rooms import ALICE, BOB, Room


def served(event, *args, **more):
    return json.loads(serving.client_bytes(event, *args, **more))


def test_clients_see_no_graph_and_no_signatures():
    room = Room().settled()
    message = room.say(ALICE)
    assert served(message, {"age": 5}) == {
        "type": "m.room.message", "sender": ALICE, "content": message.content, "origin_server_ts": message.origin_server_ts,
        "event_id": message.event_id, "room_id": room.id, "unsigned": {"age": 5},
    }  # fmt: skip
    assert "unsigned" not in served(message) and "room_id" not in served(message, room_id=False)


def test_the_create_event_of_version_12_is_served_with_its_room():
    room = Room("12")
    assert served(room.create)["room_id"] == room.id


def test_redactions_name_their_target_at_both_places():
    for version in ("1", "10", "11", "12"):
        room = Room(version).settled()
        target = room.say(ALICE).event_id
        redaction = served(room.send(ALICE, "m.room.redaction", {"reason": "x"}, redacts=target))
        assert redaction["redacts"] == redaction["content"]["redacts"] == target


def test_an_id_full_of_quotes_stays_inside_its_string():
    message = Room().settled().say(ALICE).replace(event_id=EventID('$","sender":"@eve:two.example'))
    assert served(message)["sender"] == ALICE


def test_identifiers_may_be_keys_of_unsigned():
    message = Room().settled().say(ALICE)
    assert served(message, {"by": {ALICE: BOB}})["unsigned"] == {"by": {ALICE: BOB}}


def test_stripped_state_has_four_keys():
    join = Room().settled().join(BOB)
    assert serving.stripped(join) == {"type": "m.room.member", "state_key": BOB, "sender": BOB, "content": join.content}


def test_a_draft_may_name_its_time_and_its_target():
    room_id, target = RoomID("!r:x"), EventID("$t")
    draft = drafts.Draft("m.room.redaction", ALICE, {"reason": "x"}, redacts=target, ts=5)
    old = drafts.complete(versions.get("10"), draft, room_id, [], [], 1, 99)
    new = drafts.complete(versions.get("11"), draft, room_id, [], [], 1, 99)
    assert (old["redacts"], old["content"], old["origin_server_ts"]) == (target, {"reason": "x"}, 5)
    assert ("redacts" in new, new["content"]) == (False, {"reason": "x", "redacts": target})
    assert draft.content == {"reason": "x"}


def test_depth_stays_within_json():
    for depth in (2**53, 2**63):
        assert drafts.complete(versions.get("12"), drafts.Draft("x", ALICE, {}), None, [], [], depth, 0)["depth"] == 2**53 - 1


def test_events_of_the_first_versions_point_with_hashes():
    draft, room_id = drafts.Draft("x", ALICE, {}), RoomID("!r:x")
    data = drafts.complete(versions.get("1"), draft, room_id, [(EventID("$a:x"), "h")], [EventID("$b:x")], 1, 0)
    assert (data["prev_events"], data["auth_events"]) == ([["$a:x", {"sha256": "h"}]], [["$b:x", {}]])
    again = drafts.complete(versions.get("1"), draft, room_id, [], [], 1, 0)
    assert data["event_id"] != again["event_id"]
