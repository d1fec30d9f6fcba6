"""Whatever stands in events, the rules answer yes or `Denied`, and reading answers an event or `Malformed`."""

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.events import event, redaction, rules, serving, signing, versions
from homeserver.events.errors import Denied, Malformed
from tests.events.rooms import ALICE, BOB, CAROL, EVE, Room

WORDS = [
    *("membership", "join", "invite", "leave", "ban", "knock", "public", "restricted", "knock_restricted", "join_rule", "users"),
    *("third_party_invite", "signed", "token", "mxid", "signatures", "public_key", "public_keys", "join_authorised_via_users_server"),
    *("creator", "additional_creators", "room_version", "m.federate", "events", "notifications", "users_default", "redacts", "12"),
    *(ALICE, BOB, CAROL, EVE, "", "$x:two.example", "@", "\0"),
]
words = st.sampled_from(WORDS)
values = st.recursive(
    words | st.none() | st.booleans() | st.integers(-200, 200) | st.integers() | st.text(max_size=3) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
contents = st.dictionaries(words, values, max_size=6)
kinds = st.sampled_from(["m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules", "m.room.third_party_invite"])
more_kinds = kinds | st.sampled_from(["m.room.aliases", "m.room.redaction", "m.room.message", "m.room.name"])
users = st.sampled_from([ALICE, BOB, EVE])
state_keys = st.sampled_from([None, "", ALICE, BOB, EVE, "x", "two.example"])

ROOMS = {version: Room(version).settled() for version in versions.VERSIONS if versions.get(version).stable}
for _room in ROOMS.values():
    _room.join(BOB)


@settings(max_examples=200)
@given(st.sampled_from(list(ROOMS)), more_kinds, users, state_keys, contents, st.lists(st.tuples(kinds, contents), max_size=3))
def test_the_rules_never_fail_otherwise(version, kind, sender, state_key, content, broken_state):
    room = ROOMS[version].fork()
    for broken_kind, broken in broken_state:
        for key in [key for key in room.state if key[0] == broken_kind]:
            room.state[key] = room.state[key].replace(content=broken)
    draft = room.draft(sender, "x", {}).replace(type=kind, state_key=state_key, content=content)
    try:
        rules.check(draft, room.state)
        rules.check_auth_events(draft, list(room.state.values()))
    except Denied as error:
        assert str(error)


PDU_KEYS = [
    *("type", "sender", "room_id", "state_key", "content", "depth", "origin_server_ts", "prev_events", "auth_events", "hashes"),
    *("signatures", "unsigned", "event_id", "redacts", "origin", "membership", "anything"),
]
pdu_keys = st.sampled_from(PDU_KEYS)


@settings(max_examples=200)
@given(st.sampled_from(list(ROOMS)), kinds, contents, st.dictionaries(pdu_keys, values, max_size=3))
def test_reading_never_fails_otherwise(version, kind, content, changes):
    data = {**ROOMS[version].draft(ALICE, kind, {}, "").data, "content": content, **changes}
    try:
        one = event.read(ROOMS[version].version, data)
    except Malformed as error:
        assert str(error)
        return
    assert event.stored(one.version, one.event_id, one.room_id, one.body, one.envelope) == one
    assert one.version.hashed_ids is False or event.read(one.version, redaction.redacted(one).data).event_id == one.event_id
    serving.client_bytes(one), signing.hash_ok(one.version, one.data), one.membership, one.redacts, one.key
