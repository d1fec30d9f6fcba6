"""What redaction leaves, in each room version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events import event, redaction, serving, versions
from tests.events.rooms import ALICE, BOB, Room

EVERY = [version for version in versions.VERSIONS.values() if version.stable]
LEVELS = ("ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default")

# type -> key of the content -> the versions in which it stays
STAYS = {
    "m.room.member": {"membership": range(1, 13), "join_authorised_via_users_server": range(9, 13), "displayname": ()},
    "m.room.create": {"creator": range(1, 13), "room_version": range(11, 13), "anything": range(11, 13)},
    "m.room.join_rules": {"join_rule": range(1, 13), "allow": range(8, 13), "other": ()},
    "m.room.power_levels": {**{key: range(1, 13) for key in LEVELS}, "invite": range(11, 13), "notifications": ()},
    "m.room.aliases": {"aliases": range(1, 6), "other": ()},
    "m.room.history_visibility": {"history_visibility": range(1, 13), "other": ()},
    "m.room.redaction": {"redacts": range(11, 13), "reason": ()},
    "m.room.message": {"body": (), "msgtype": ()},
}


@pytest.mark.parametrize("version", EVERY, ids=repr)
@pytest.mark.parametrize("kind", STAYS)
def test_which_content_stays(version, kind):
    content = {key: {"some": "value"} for key in STAYS[kind]}
    left = redaction.redact(version, {"type": kind, "content": content})["content"]
    assert set(left) == {key for key, those in STAYS[kind].items() if int(version.id) in those}


@pytest.mark.parametrize("version", EVERY, ids=repr)
def test_which_keys_stay(version):
    always = {"event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth", "prev_events"}
    always |= {"auth_events", "origin_server_ts"}
    until_10 = {"origin", "membership", "prev_state"}
    data = dict.fromkeys(always | until_10 | {"redacts", "unsigned", "age", "more"}, "x")
    left = set(redaction.redact(version, data))
    assert left == (always | until_10 if int(version.id) < 11 else always)


@pytest.mark.parametrize(
    ("invite", "left"),
    [({"signed": {"a": 1}, "display_name": "x"}, {"signed": {"a": 1}}), ({"display_name": "x"}, {}), ("x", None), (None, None)],
)
def test_a_third_party_invite_keeps_its_signature_from_11_on(invite, left):
    data = {"type": "m.room.member", "content": {"third_party_invite": invite}}
    assert redaction.redact(versions.get("11"), data)["content"].get("third_party_invite") == left
    assert redaction.redact(versions.get("10"), data)["content"] == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
keys = st.sampled_from(["membership", "third_party_invite", "signed", "creator", "users", "redacts", "aliases", "allow", "body"])


@given(st.sampled_from(EVERY), st.sampled_from(list(STAYS)) | json_values, st.dictionaries(keys, json_values) | json_values)
def test_redacting_twice_is_redacting_once(version, kind, content):
    once = redaction.redact(version, {"type": kind, "content": content, "age": 1, "sender": "@a:b"})
    assert redaction.redact(version, once) == once
    assert isinstance(once["content"], dict)


@pytest.mark.parametrize("version", [version.id for version in EVERY])
def test_a_redacted_event_keeps_its_id_and_serves_without_its_content(version):
    room = Room(version).settled()
    message = room.say(ALICE, "a secret")
    left = redaction.redacted(message)
    assert (left.event_id, left.room_id, left.sender) == (message.event_id, message.room_id, message.sender)
    assert left.content == {} and b"secret" not in left.pdu + serving.client_bytes(left)
    assert event.read(room.version, left.data).event_id == message.event_id
    assert redaction.redacted(left) == left


def test_a_redacted_join_is_still_a_join():
    room = Room().settled()
    assert redaction.redacted(room.join(BOB, displayname="Bob")).content == {"membership": "join"}
