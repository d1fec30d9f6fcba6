"""Joining through another server: what we sign, and what we believe of the answer."""

import pytest

from homeserver.events import joining, rules, versions
from homeserver.events.errors import Denied, Malformed
from homeserver.events.identifiers import EventID, RoomID
from tests.events.rooms import ALICE, BOB, EVE, START, Room

EVERY = [version.id for version in versions.VERSIONS.values() if version.stable]


def template(room, kind="join", **content):
    """What a resident server answers to make_join."""
    data = room.draft(EVE, "m.room.member", {"membership": kind, **content}, EVE).data
    return {key: value for key, value in data.items() if key not in ("hashes", "signatures", "event_id")}


def fill(room, answer, kind="join", **content):
    return joining.fill(answer, room.version, room.id, EVE, kind, content, START)


@pytest.mark.parametrize("version", EVERY)
def test_our_event_at_their_place(version):
    room = Room(version).settled()
    ours = fill(room, template(room), displayname="Eve")
    assert ours["content"] == {"membership": "join", "displayname": "Eve"}
    assert (ours["room_id"], ours["sender"], ours["state_key"], ours["origin_server_ts"]) == (room.id, EVE, EVE, START)
    assert ours["depth"] == room.depth + 1 and "hashes" in ours
    assert ids_of(room, ours["prev_events"]) == room.heads


def ids_of(room, pointers):
    return tuple(pointer if room.version.hashed_ids else pointer[0] for pointer in pointers)


def test_nothing_else_of_theirs_is_signed():
    room = Room("12").settled()
    answer = template(room, displayname="Mallory", reason="x", custom={"a": 1})
    ours = fill(room, {**answer, "origin": "evil", "redacts": "$x", "hashes": {"sha256": "x"}, "unsigned": {}, "anything": 1})
    assert ours["content"] == {"membership": "join"}
    assert set(ours) == {
        "type", "sender", "content", "origin_server_ts", "depth", "prev_events", "auth_events", "state_key", "room_id", "hashes"
    }  # fmt: skip


def test_who_vouches_is_theirs_to_say_and_nobody_elses():
    room = Room("12").settled("restricted")
    vouched = template(room, join_authorised_via_users_server=ALICE)
    assert fill(room, vouched)["content"]["join_authorised_via_users_server"] == ALICE
    assert "join_authorised_via_users_server" not in fill(room, template(room), join_authorised_via_users_server=BOB)["content"]
    knock = {**vouched, "content": {**vouched["content"], "membership": "knock"}}
    assert fill(room, knock, "knock")["content"] == {"membership": "knock"}
    for nobody in (5, "", "alice", {}, [ALICE]):
        with pytest.raises(Malformed):
            fill(room, {**vouched, "content": {"membership": "join", "join_authorised_via_users_server": nobody}})


@pytest.mark.parametrize("version", ["1", "11", "12"])
@pytest.mark.parametrize(
    ("key", "values"),
    {
        "type": ["m.room.message", None, "m.room.power_levels"],
        "room_id": ["!other:two.example", None, 5, "!" + "x" * 43],
        "sender": [ALICE, None, ["@eve:two.example"]],
        "state_key": [ALICE, "", None],
        "content": [None, [], {}, {"membership": "ban"}, {"membership": None}, {"membership": "leave"}],
        "depth": [None, "5", -1, True, 2.5],
        "prev_events": [None, [], "$x", [None], [5], ["x"], ["$a\0"], [["$x"]], ["$x"] * 21, [["$x", {"sha256": 5}, 1]], [{}]],
        "auth_events": [None, [], ["$x"] * 11, [[{}, {}]], [["$x", {"sha256": "?"}]], ["\ud800"]],
    }.items(),
)
def test_a_template_about_anything_else_is_refused(version, key, values):
    room = Room(version).settled()
    for value in values:
        with pytest.raises(Malformed):
            fill(room, {**template(room), key: value})
    missing = template(room)
    del missing[key]
    with pytest.raises(Malformed):
        fill(room, missing)


def test_a_version_that_does_not_fit_the_room_id_is_refused():
    room = Room("12").settled()
    with pytest.raises(Malformed):
        joining.fill(template(room), versions.get("11"), room.id, EVE, "join", {}, START)


# --- the answer

def answer(room):
    """(join, state before it, auth chain), as send_join answers."""
    state = list(room.state.values())
    chain = {event_id: room.events[event_id] for one in room.events.values() for event_id in one.auth_events}
    return room.draft(EVE, "m.room.member", {"membership": "join"}, EVE), state, list(chain.values())


@pytest.mark.parametrize("version", EVERY)
def test_a_good_answer_is_believed_whole(version):
    room = Room(version).settled()
    room.join(BOB)
    room.levels(ALICE, users={} if version == "12" else {ALICE: 100}, ban=60)
    join, state, auth = answer(room)
    entrance = joining.verify_answer(room.version, join, state[::-1], auth[::-1])
    assert entrance.state == room.state and entrance.create == room.create
    assert (entrance.refused, entrance.unchecked) == ({}, {})
    seen = set()
    for one in entrance.order:
        assert seen.issuperset(one.auth_events), "each after what authorises it"
        seen.add(one.event_id)
    assert seen == {one.event_id for one in (*state, *auth)}


@pytest.mark.parametrize("version", ["1", "11", "12"])
def test_answers_that_are_no_room(version):
    room = Room(version).settled()
    join, state, auth = answer(room)
    other = Room(version, note="another").settled()
    foreign = state[1].replace(room_id=RoomID("!else:one.example"))
    for broken_state, broken_auth in (
        ([], auth),
        ([one for one in state if one is not room.create], auth),
        ([other.create if one is room.create else one.replace() for one in state], auth) if version == "12" else ([], []),
        ([*state, state[1]], auth),
        ([*state, room.draft(ALICE, "m.room.message", {})], auth),
        ([*state[:1], foreign, *state[2:]], auth),
        (state, [*auth, foreign.replace(event_id=EventID("$foreign:x"))]),
    ):
        with pytest.raises(Denied):
            joining.verify_answer(room.version, join, broken_state, broken_auth)
    with pytest.raises(Denied):
        joining.verify_answer(versions.get("10"), join, state, auth)


def test_state_that_was_never_allowed_is_not_believed():
    room = Room("12").settled()
    room.join(BOB)
    fake = room.draft(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")
    room.events[fake.event_id] = fake
    join, state, auth = answer(room)
    entrance = joining.verify_answer(room.version, join, [one for one in state if one.key != rules.POWER_LEVELS] + [fake], auth)
    assert set(entrance.refused) == {fake.event_id} and rules.POWER_LEVELS not in entrance.state


def test_what_rests_on_a_refused_event_is_refused_and_on_a_missing_one_unchecked():
    room = Room("12").settled()
    room.join(BOB)
    fake = room.take(room.draft(BOB, "m.room.power_levels", {"users": {BOB: 100}}, ""))
    rests = room.take(room.draft(BOB, "m.room.name", {"name": "x"}, ""))
    join, state, auth = answer(room)
    entrance = joining.verify_answer(room.version, join, state, auth)
    assert set(entrance.refused) == {fake.event_id, rests.event_id}
    state, auth = ([one for one in some if one is not fake] for some in (state, auth))
    entrance = joining.verify_answer(room.version, join, state, auth)
    assert entrance.unchecked == {rests.event_id: {fake.event_id}} and ("m.room.name", "") not in entrance.state


def test_a_join_the_state_does_not_allow_is_denied():
    room = Room("12").settled("invite")
    with pytest.raises(Denied):
        joining.verify_answer(room.version, *answer(room))
    room.ban(ALICE, EVE)
    with pytest.raises(Denied):
        joining.verify_answer(room.version, *answer(room))


def test_events_that_authorise_each_other_in_a_circle_are_not_believed():
    room = Room("2")
    room.join(ALICE)
    room.send(ALICE, "m.room.join_rules", {"join_rule": "public"}, "")
    a = room.levels(ALICE, users={ALICE: 100})
    b = room.levels(ALICE, users={ALICE: 100, BOB: 100})
    join, state, auth = answer(room)
    looped = a.replace(auth_events=(*a.auth_events, b.event_id))
    entrance = joining.verify_answer(room.version, join, state, [looped if one is a else one for one in auth])
    assert {a.event_id, b.event_id} <= entrance.unchecked.keys() and rules.POWER_LEVELS not in entrance.state


def test_two_creates_make_no_room():
    room = Room("11").settled()
    second = room.create.replace(event_id=EventID("$second"))
    join, state, auth = answer(room)
    with pytest.raises(Denied):
        joining.verify_answer(room.version, join, [*state, second], auth)
    assert joining.verify_answer(room.version, join, state, [*auth, second]).refused.keys() == {second.event_id}
