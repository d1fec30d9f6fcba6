"""Reading events: the shape of a PDU in each room version, its id, its stored form, and what is refused."""

import json
import pickle

import pytest

from homeserver.events import drafts, event, signing, versions
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import EventID, RoomID
from tests.events.rooms import ALICE, BOB, START, Room

V1, V3, V4, V5, V6, V10, V11, V12 = (versions.get(id) for id in ("1", "3", "4", "5", "6", "10", "11", "12"))


def pdu(version, **changes):
    room_id = RoomID("!" + "h" * 43 if version.room_id_is_create_hash else "!room:one.example")
    draft = drafts.Draft("m.room.message", ALICE, {"body": "hi"}, device="PHONE")
    data = drafts.complete(version, draft, room_id, [EventID("$prev:x")], [EventID("$auth:x")], 7, START)
    data = {**data, "signatures": {"one.example": {"ed25519:1": "x"}}, "unsigned": {"age": 5}}
    for key, value in changes.items():
        if value is REMOVED:
            del data[key]
        else:
            data[key] = value
    return data


REMOVED = object()


@pytest.mark.parametrize("version", versions.VERSIONS.values(), ids=repr)
def test_an_event_comes_back_whole_from_its_two_halves(version):
    data = pdu(version, state_key="", custom={"a": [1]})
    one = event.read(version, data)
    assert (one.key, one.depth, one.origin_server_ts) == (("m.room.message", ""), 7, START)
    assert (one.prev_events, one.auth_events) == (("$prev:x",), ("$auth:x",))
    assert all(type(event_id) is EventID for event_id in one.prev_events)
    del data["unsigned"]
    assert one.data == json.loads(one.pdu) == data
    assert event.stored(version, one.event_id, one.room_id, one.body, one.envelope) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_the_body_is_what_clients_see_and_nothing_else():
    assert set(json.loads(event.read(V12, pdu(V12, state_key="", redacts="$x")).body)) == {
        "content", "origin_server_ts", "sender", "state_key", "type"
    }  # fmt: skip
    assert "redacts" in json.loads(event.read(V10, pdu(V10, redacts="$x")).body)


def test_ids_by_version():
    assert event.read(V1, pdu(V1)).event_id.endswith(":one.example")
    slash = next(one for one in (event.read(V3, pdu(V3, depth=depth)) for depth in range(200)) if "/" in one.event_id)
    assert event.read(V4, slash.data).event_id == slash.event_id.replace("/", "_").replace("+", "-")
    assert len(slash.event_id) == 44


def test_in_version_12_the_create_event_names_the_room():
    room = Room("12")
    assert room.id == "!" + room.create.event_id[1:]
    assert "room_id" not in room.create.data
    assert event.stored(V12, room.create.event_id, room.id, room.create.body, room.create.envelope) == room.create
    with pytest.raises(Malformed):
        event.read(V12, {**room.create.data, "room_id": room.id})
    with pytest.raises(Malformed):
        event.read(V12, {**room.create.data, "state_key": "x"})


def test_unsigned_and_signatures_do_not_change_the_id():
    one, other = event.read(V12, pdu(V12)), event.read(V12, pdu(V12, unsigned={"age": 9}, signatures={}))
    assert one.event_id == other.event_id and b"unsigned" not in one.pdu


WRONG = {
    "type": [REMOVED, None, 5, {}, ["m.room.message"], "x" * 256, "é" * 256, "a\0b", "\ud800"],
    "sender": [REMOVED, None, 5, "alice", "@alice", "@\0:a", "@a:", {"a": 1}, "@" + "x" * 250 + ":a.org"],
    "room_id": [REMOVED, None, 5, "room", "!", "!a\0b:c", "@a:b", "!" + "x" * 255],
    "state_key": [None, 5, [], "x" * 256, "a\0", True, "\udc00"],
    "content": [REMOVED, None, [], "x", 1],
    "depth": [REMOVED, None, -1, "7", True, 2**63, 1.5],
    "origin_server_ts": [REMOVED, None, "now", True, {}, 2**63, 1.5],
    "prev_events": [REMOVED, None, {}, "$a", [5], [None], ["x"], ["$"], ["$a\0"], ["$" + "x" * 255], [["$a"]], ["$a:x"] * 21, [{}]],
    "auth_events": [REMOVED, None, {}, [["$a", {}, 1]], ["\ud800"], ["$\ud800"], ["$a:x"] * 11, [["$a", None]], [[5, {}]]],
    "hashes": [REMOVED, None, "x", []],
    "signatures": [REMOVED, None, [], {"a": None}, {"a": {"b": 5}}, {"a": ["x"]}],
    "unsigned": [None, [], 5],
}


@pytest.mark.parametrize("version", [V1, V5, V12], ids=repr)
@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_wrong_shapes_are_refused(version, key, value):
    with pytest.raises(Malformed):
        event.read(version, pdu(version, **{key: value}))


@pytest.mark.parametrize("data", [None, [], "x", 5, {}])
def test_what_is_no_object_is_no_event(data):
    with pytest.raises(Malformed):
        event.read(V12, data)


def nested(levels):
    return {"a": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize("content", [{"a": 1.5}, {"a": 2**53}, {"a": [[-(2**53)]]}, {"\ud800": 1}, {"a": "\udead"}, nested(260)])
def test_content_that_canonical_json_cannot_say_is_refused(content):
    with pytest.raises(Malformed):
        event.read(V6, pdu(V6, content=content))


def test_old_rooms_hold_floats_and_long_integers():
    content = {"float": 1e16, "tiny": 1e-5, "long": 2**70}
    data = signing.add_hash(V5, pdu(V5, content=content))
    one = event.read(V5, data)
    again = event.stored(V5, one.event_id, one.room_id, one.body, one.envelope)
    assert again.content == content and signing.hash_ok(V5, again.data)


def test_sizes_are_counted_in_bytes_of_the_whole_event():
    room = len(event.read(V12, pdu(V12, content={"body": ""})).pdu)
    fits = event.MAX_EVENT - room
    assert len(event.read(V12, pdu(V12, content={"body": "x" * fits})).pdu) == 65536
    with pytest.raises(Malformed):
        event.read(V12, pdu(V12, content={"body": "x" * (fits + 1)}))
    with pytest.raises(Malformed):
        event.read(V12, pdu(V12, content={"body": "é" * (fits // 2 + 1)}))


def test_a_nul_in_the_content_is_no_reason_to_lose_an_event():
    assert event.read(V12, pdu(V12, content={"body": "a\0b"})).content == {"body": "a\0b"}


def test_an_event_of_another_room_is_refused_when_the_room_is_known():
    assert event.read(V11, pdu(V11), RoomID("!room:one.example"))
    with pytest.raises(Malformed):
        event.read(V11, pdu(V11), RoomID("!other:one.example"))


def test_room_ids_have_the_form_of_their_version():
    for version, room_id in ((V12, "!room:one.example"), (V11, "!" + "h" * 43)):
        with pytest.raises(Malformed):
            event.read(version, pdu(version, room_id=room_id))


def test_ids_of_versions_1_and_2_name_a_server():
    for event_id in ("$x", "x:y", "", "$a\0:b", None, "$" + "x" * 255 + ":y"):
        with pytest.raises(Malformed):
            event.read(V1, pdu(V1, event_id=event_id))


@pytest.mark.parametrize("membership", [None, 5, {}, [], ["join"], True, {"a": "join"}])
def test_a_membership_of_the_wrong_type_is_none(membership):
    assert event.read(V12, pdu(V12, type="m.room.member", state_key=BOB, content={"membership": membership})).membership is None


@pytest.mark.parametrize("redacts", [None, 5, {}, ["$x"], "", "$", "x", "$a\0", "$" + "x" * 255])
def test_a_redaction_of_nothing_redacts_none(redacts):
    assert event.read(V10, pdu(V10, type="m.room.redaction", redacts=redacts)).redacts is None
    assert event.read(V11, pdu(V11, type="m.room.redaction", content={"redacts": redacts})).redacts is None


def test_redacts_is_read_where_the_version_keeps_it_and_only_of_redactions():
    assert event.read(V10, pdu(V10, type="m.room.redaction", redacts="$x")).redacts == "$x"
    assert event.read(V11, pdu(V11, type="m.room.redaction", content={"redacts": "$x"})).redacts == "$x"
    assert event.read(V11, pdu(V11, type="m.room.redaction", redacts="$x")).redacts is None
    assert event.read(V10, pdu(V10, redacts="$x")).redacts is None


def test_lengths_are_counted_in_characters_when_read_and_in_bytes_when_made():
    event.read(V11, pdu(V11, type="é" * 255))
    draft = drafts.Draft("é" * 128, ALICE, {})
    with pytest.raises(Malformed):
        drafts.complete(V11, draft, RoomID("!room:a"), [], [], 1, 0)
