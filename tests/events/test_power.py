"""Power levels: reading them in all the forms old rooms have, and the rules for changing them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events import power, rules, versions
from homeserver.events.errors import Denied
from homeserver.events.power import INFINITE, Power
from tests.events.rooms import ALICE, BOB, CAROL, EVE, Room

EVERY = [version.id for version in versions.VERSIONS.values() if version.stable]
V1, V9, V10, V12 = (versions.get(id) for id in ("1", "9", "10", "12"))


def levels(version="12", **content):
    room = Room(version)
    event = room.draft(ALICE, "m.room.power_levels", {}, "").replace(content=content)
    return Power(room.version, room.create, event)


def test_defaults():
    for found in (levels("11"), Power(versions.get("11"), None, None)):
        assert (found.ban, found.kick, found.redact, found.invite, found.notification("room")) == (50, 50, 50, 0, 50)
        assert (found.needed("m.room.name", is_state=True), found.needed("m.room.message", is_state=False), found.of(BOB)) == (50, 0, 0)


@pytest.mark.parametrize("version", EVERY)
def test_the_creator_before_and_after_there_are_levels(version):
    room = Room(version)
    nothing, empty = Power(room.version, room.create, None), levels(version, users_default=3)
    assert nothing.of(ALICE) == (INFINITE if version == "12" else 100) and nothing.of(BOB) == 0
    assert empty.of(ALICE) == (INFINITE if version == "12" else 3) and empty.of(BOB) == 3


def test_additional_creators_are_creators_in_version_12():
    for version, expected in (("11", 0), ("12", INFINITE)):
        room = Room(version, additional_creators=[BOB])
        assert Power(room.version, room.create, None).of(BOB) == expected


def test_a_creator_named_by_the_content_before_11():
    room = Room("10")
    create = room.create.replace(content={"creator": BOB})
    assert (Power(V10, create, None).of(ALICE), Power(V10, create, None).of(BOB)) == (0, 100)


@pytest.mark.parametrize(
    ("value", "until_9"),
    [
        (5, 5), ("5", 5), (" 005 ", 5), ("+5", 5), ("-5", -5), ("\t-05\n", -5), (5.9, 5), (-5.9, -5), (True, None), (None, None),
        ("", None), ("five", None), ("5.0", None), ("1_000", None), ("٥", None), ("+-5", None), ("9" * 5000, None), ([], None), ({}, None),
    ],
)  # fmt: skip
def test_levels_as_old_rooms_write_them(value, until_9):
    assert power.level(V9, value) == power.level(V1, value) == until_9
    assert power.level(V10, value) == power.level(V12, value) == (value if type(value) is int else None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = [*power.DEFAULTS, "users", "events", "notifications"]


tables = st.dictionaries(st.sampled_from([ALICE, BOB, "room"]), json_values)


@given(st.sampled_from(EVERY), st.dictionaries(st.sampled_from(NAMES), json_values | tables))
def test_whatever_the_content_there_are_levels(version, content):
    found = levels(version, **content)
    numbers = [found.of(ALICE), found.of(BOB), found.ban, found.kick, found.redact, found.invite, found.notification("room")]
    assert all(type(number) is int for number in [*numbers, found.needed("x", is_state=True), found.needed("x", is_state=False)])


# --- changing them

def allowed(room, sender, content):
    try:
        room.check(room.draft(sender, "m.room.power_levels", content, ""))
    except Denied:
        return False
    return True


def moderated(version="11", **content):
    """A room where Alice has 100, Bob and Carol 50, and Eve nothing."""
    users = {BOB: 50, CAROL: 50} if version == "12" else {ALICE: 100, BOB: 50, CAROL: 50}
    room = Room(version).settled(users=users, **content)
    for user in (BOB, CAROL, EVE):
        room.join(user)
    return room, users


FIELDS = ["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"]


@pytest.mark.parametrize("version", EVERY)
@pytest.mark.parametrize("name", FIELDS)
def test_nobody_touches_a_level_above_his_own(version, name):
    content = {"events": {"m.room.power_levels": 40}}
    room, users = moderated(version, **content, **{name: 60})
    base = {"users": users, **content}
    assert allowed(room, BOB, {**base, name: 60}), "left as it is"
    assert not allowed(room, BOB, {**base, name: 40}), "lowered from above"
    assert not allowed(room, BOB, base), "taken away from above"
    assert not allowed(room, BOB, {**base, name: 61})
    room, users = moderated(version, **content)
    assert allowed(room, BOB, {**base, name: 50}) and not allowed(room, BOB, {**base, name: 51})


@pytest.mark.parametrize("version", EVERY)
@pytest.mark.parametrize("table", ["events", "notifications"])
def test_nobody_touches_an_entry_above_his_own(version, table):
    open_to = {"m.room.power_levels": 40}
    room, users = moderated(version, **{"events": open_to, table: {**open_to, "x": 60}})
    base = {"users": users, "events": open_to}
    free = table == "notifications" and int(version) < 6
    assert allowed(room, BOB, {**base, table: {**open_to, "x": 60, "y": 50}})
    for entries in ({**open_to, "x": 50}, open_to, {**open_to, "x": 60, "y": 51}):
        assert allowed(room, BOB, {**base, table: entries}) is free


@pytest.mark.parametrize("version", EVERY)
def test_users_and_their_levels(version):
    room, users = moderated(version, events={"m.room.power_levels": 40})
    base = {"events": {"m.room.power_levels": 40}}
    assert allowed(room, BOB, {**base, "users": {**users, EVE: 50}})
    assert not allowed(room, BOB, {**base, "users": {**users, EVE: 51}})
    assert allowed(room, BOB, {**base, "users": {**users, BOB: 10}}), "one may lower oneself"
    assert not allowed(room, BOB, {**base, "users": {**users, BOB: 51}})
    assert not allowed(room, BOB, {**base, "users": {**users, CAROL: 40}}), "an equal cannot be lowered"
    assert not allowed(room, BOB, {**base, "users": {user: own for user, own in users.items() if user != CAROL}})
    assert allowed(room, ALICE, {**base, "users": {user: own for user, own in users.items() if user != CAROL}})
    if version != "12":
        assert not allowed(room, BOB, {**base, "users": {BOB: 50, CAROL: 50}})


def test_creators_of_version_12_stand_above_all_levels_and_in_none():
    room = Room("12", additional_creators=[BOB]).settled(users={CAROL: 2**53 - 1}, kick=2**53 - 1, events={"m.room.name": 2**53 - 1})
    room.join(BOB)
    room.join(CAROL)
    room.name(BOB, "ours")
    room.kick(BOB, CAROL)
    for user in (ALICE, BOB):
        assert not allowed(room, ALICE, {"users": {user: 100}}) and not allowed(room, BOB, {"users": {user: 0}})
    assert allowed(room, BOB, {"users": {CAROL: 0}})


NO_LEVELS = ["50", 5.5, None, True, [], {}, "x"]


@pytest.mark.parametrize("value", NO_LEVELS)
def test_from_10_on_levels_are_integers(value):
    for version in ("10", "11", "12"):
        room = Room(version).settled()
        for name in FIELDS:
            denied_content(room, **{name: value})
        for table in ("users", "events", "notifications"):
            denied_content(room, **{table: {EVE: value}})


def denied_content(room, **content):
    event = room.draft(ALICE, "m.room.power_levels", {}, "")
    users = {} if room.version.privileged_creators else {ALICE: 100}
    with pytest.raises(Denied):
        rules.check(event.replace(content={"users": users, **content}), room.state)


@pytest.mark.parametrize("version", EVERY)
@pytest.mark.parametrize(
    "users", [None, [], "x", 5, {"bob": 5}, {"": 5}, {"@bob": 5}, {"@b\0:x": 5}, {EVE: None}, {EVE: True}, {EVE: [5]}, {EVE: "x"}]
)
def test_users_are_users_with_levels_in_every_version(version, users):
    denied_content(Room(version).settled(), users=users)


def test_a_level_written_differently_is_the_same_level():
    room, users = moderated("9", events={"m.room.power_levels": 40}, ban="60")
    assert allowed(room, BOB, {"users": users, "events": {"m.room.power_levels": "40"}, "ban": 60})


def test_the_first_levels_may_be_any_but_those_of_nobody():
    room = Room("11")
    room.join(ALICE)
    assert allowed(room, ALICE, {"users": {ALICE: 10_000}, "ban": 20_000})
