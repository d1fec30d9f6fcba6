"""State resolution: the laws, the attacks it is made against, and what differs between its versions."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.events import auth_graph, resolution, rules, versions
from homeserver.events.errors import Denied
from homeserver.events.identifiers import EventID, UserID
from tests.events.literal import Literal
from tests.events.rooms import ALICE, BOB, CAROL, DAVE, EVE, Room, resolve

EVERY = [version.id for version in versions.VERSIONS.values() if version.stable]
SECOND = EVERY[1:]
PEOPLE = [ALICE, BOB, CAROL, DAVE, EVE]


def settled(version, **levels):
    users = {BOB: 50, CAROL: 50} if version == "12" else {ALICE: 100, BOB: 50, CAROL: 50}
    room = Room(version).settled(users=users, **levels)
    for user in (BOB, CAROL, DAVE):
        room.join(user)
    return room


def power_of(room, state, user):
    return rules.power(room.version, state).of(user)


# --- laws

def promote(room, who, whom, level):
    content = room.state[rules.POWER_LEVELS].content
    room.levels(who, **{**content, "users": {**content["users"], whom: level}})


def forget(room, key):
    """A server whose state went back to what it once was."""
    first = next((one for one in room.events.values() if one.key == key), None)
    if first is not None:
        room.state[key] = first


ACTS = [
    lambda room, who, whom: room.name(who, f"{who}'s room"),
    lambda room, who, whom: room.ban(who, whom),
    lambda room, who, whom: room.kick(who, whom),
    lambda room, who, whom: room.invite(who, whom),
    lambda room, who, whom: room.join(who),
    lambda room, who, whom: room.leave(who),
    lambda room, who, whom: room.send(who, "m.room.join_rules", {"join_rule": "invite"}, ""),
    lambda room, who, whom: room.levels(who, users={**({} if room.version.privileged_creators else {ALICE: 100}), whom: 30}),
    lambda room, who, whom: room.send(who, "my.state", {"by": who}, who),
    lambda room, who, whom: promote(room, who, whom, 30),
    lambda room, who, whom: promote(room, who, whom, 60),
    lambda room, who, whom: forget(room, rules.POWER_LEVELS),
    lambda room, who, whom: forget(room, ("m.room.member", whom)),
    lambda room, who, whom: setattr(room, "now", room.now - 5000),
]
histories = st.lists(st.tuples(st.sampled_from(ACTS), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)), max_size=5)


def forks(version, plans):
    """Servers that each go their own way from a common past."""
    common = settled(version, events={"m.room.power_levels": 40})
    views = []
    for plan in plans:
        view = common.fork()
        for act, who, whom in plan:
            try:
                act(view, who, whom)
            except Denied:
                continue
        views.append(view)
    return views


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(EVERY), st.lists(histories, min_size=2, max_size=3))
def test_neither_order_nor_repetition_matters(version, plans):
    views = forks(version, plans)
    result = resolve(*views)
    for shuffled in itertools.permutations(views):
        assert resolve(*shuffled) == result
    assert resolve(*views, views[0]) == result


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EVERY), histories)
def test_one_state_and_equal_states_resolve_to_themselves(version, plan):
    (view,) = forks(version, [plan])
    assert resolve(view) == resolve(view, view.fork()) == view.state


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SECOND), st.lists(histories, min_size=2, max_size=3))
def test_what_all_agree_on_stays_and_nothing_is_invented(version, plans):
    views = forks(version, plans)
    result = resolve(*views)
    for key in {key for view in views for key in view.state}:
        values = {view.state.get(key) for view in views}
        if len(values) == 1:
            assert result[key] in values
    assert all(one.key == key for key, one in result.items())


def forked(*views):
    """The same as `resolve`, from nothing but what the views differ in."""
    events, read = views[0].events, []
    agreed, conflicts = resolution.separate([view.ids for view in views])

    def supported(asked):
        common = {event_id: events[event_id].auth_events for event_id in agreed.values()}
        return auth_graph.supported(asked, common, lambda ids: {each: events[each].auth_events for each in ids})

    def load(ids):
        read.extend(ids)
        return {event_id: events[event_id] for event_id in ids}

    def lookup(keys):
        return {key: agreed[key] for key in keys if key in agreed}

    found = resolution.resolve_fork(views[0].version, conflicts, lookup, supported, load, lambda _: False)
    assert not found.keys() & agreed.keys()
    return {key: events[event_id] for key, event_id in {**agreed, **found}.items()}, read


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(EVERY), st.lists(histories, min_size=2, max_size=3))
def test_what_states_differ_in_is_enough_to_resolve_them(version, plans):
    views = forks(version, plans)
    assert forked(*views)[0] == resolve(*views)


@pytest.mark.parametrize("version", SECOND)
def test_a_small_fork_of_a_large_room_reads_little(version):
    ours = settled(version)
    for number in range(200):
        ours.join(UserID(f"@guest{number}:three.example"))
    theirs = ours.fork()
    ours.name(BOB, "ours")
    theirs.name(CAROL, "theirs")
    theirs.levels(ALICE, **{**theirs.state[rules.POWER_LEVELS].content, "ban": 60})
    state, read = forked(ours, theirs)
    assert state == resolve(ours, theirs) and len(read) < 20


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SECOND), st.lists(histories, min_size=2, max_size=3))
def test_it_does_what_the_specification_says_word_by_word(version, plans):
    views = forks(version, plans)
    found = Literal(views[0].version, [view.ids for view in views], views[0].events).resolve()
    assert {key: one.event_id for key, one in resolve(*views).items()} == found


# --- what it is made for

@pytest.mark.parametrize("version", SECOND)
def test_a_ban_beats_what_the_banned_did_meanwhile(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.ban(ALICE, BOB)
    theirs.name(BOB, "Bob was here")
    theirs.kick(BOB, DAVE)
    state = resolve(ours, theirs)
    assert state["m.room.member", BOB].membership == "ban"
    assert ("m.room.name", "") not in state
    assert state["m.room.member", DAVE].membership == "join"


@pytest.mark.parametrize("version", SECOND)
def test_a_demotion_beats_what_the_demoted_did_meanwhile(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.levels(ALICE, users={**({} if version == "12" else {ALICE: 100}), CAROL: 50})
    theirs.name(BOB, "Bob was here")
    state = resolve(ours, theirs)
    assert power_of(ours, state, BOB) == 0 and ("m.room.name", "") not in state


@pytest.mark.parametrize("version", SECOND)
def test_old_timestamps_do_not_help(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.ban(ALICE, BOB)
    theirs.now -= 10**9
    theirs.name(BOB, "Bob was here, long ago")
    assert ("m.room.name", "") not in resolve(ours, theirs)


@pytest.mark.parametrize("version", SECOND)
def test_of_two_names_the_later_one_on_newer_levels_wins(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.name(BOB, "first")
    theirs.now += 500
    theirs.name(CAROL, "second")
    assert resolve(ours, theirs)["m.room.name", ""].content == {"name": "second"}
    ours.levels(ALICE, **{**ours.state[rules.POWER_LEVELS].content, "ban": 60})
    ours.now -= 100_000
    ours.name(BOB, "on newer levels, though with an older clock")
    assert resolve(ours, theirs)["m.room.name", ""].sender == BOB


@pytest.mark.parametrize("version", SECOND)
def test_closing_the_room_beats_joins_that_come_with_it(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.send(ALICE, "m.room.join_rules", {"join_rule": "invite"}, "")
    theirs.join(EVE)
    assert ("m.room.member", EVE) not in resolve(ours, theirs)


@pytest.mark.parametrize("version", EVERY)
def test_people_who_joined_on_either_side_are_both_in(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.join(EVE)
    theirs.leave(DAVE)
    state = resolve(ours, theirs)
    assert state["m.room.member", EVE].membership == "join"
    assert state["m.room.member", DAVE].membership == "leave"


def test_in_version_1_the_deepest_allowed_event_wins():
    ours = settled("1")
    theirs = ours.fork()
    ours.name(BOB, "low")
    theirs.say(CAROL)
    theirs.name(CAROL, "high")
    theirs.name(CAROL, "highest")
    assert resolve(ours, theirs)["m.room.name", ""].content == {"name": "highest"}
    theirs.say(DAVE)
    theirs.pretend("m.room.name", "", {"name": "not allowed"}, DAVE)
    assert resolve(ours, theirs)["m.room.name", ""].content == {"name": "low"}


def handed_on(version):
    """(before, after): Alice makes Bob strong, Bob makes Carol strong; the levels in between are in neither state."""
    before = settled(version, events={"m.room.power_levels": 40})
    after = before.fork()
    levels = before.state[rules.POWER_LEVELS].content
    after.levels(ALICE, **{**levels, "users": {**levels["users"], BOB: 90}})
    after.levels(BOB, **{**levels, "users": {**levels["users"], BOB: 90, CAROL: 80}})
    return before, after


def both_ways(*views):
    """What the views resolve to, whichever way it is found."""
    state, _ = forked(*views)
    assert state == resolve(*views)
    return state


@pytest.mark.parametrize("version", SECOND)
def test_what_only_the_auth_chain_of_one_side_holds_is_replayed_too(version):
    before, after = handed_on(version)
    assert power_of(after, both_ways(before, after), CAROL) == 80


@pytest.mark.parametrize("version", SECOND)
def test_a_state_that_forgot_levels_others_rest_on_resets_them_before_version_12(version):
    before, after = handed_on(version)
    rests_on_it = after.name(CAROL, "agreed on")
    before.state["m.room.name", ""] = rests_on_it
    state = both_ways(before, after)
    assert power_of(after, state, CAROL) == (80 if version == "12" else 50)


@pytest.mark.parametrize("version", SECOND)
def test_what_was_right_when_it_was_said_stays_in_version_12_and_is_lost_before(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.name(BOB, "first")
    theirs.now += 500
    theirs.name(BOB, "second")
    theirs.state["m.room.member", BOB] = ours.ban(ALICE, BOB)
    state = both_ways(ours, theirs)
    assert state["m.room.member", BOB].membership == "ban"
    assert (("m.room.name", "") in state) is (version == "12")


@pytest.mark.parametrize("version", SECOND)
def test_a_membership_that_power_rests_on_is_replayed_with_the_power(version):
    ours = settled(version)
    theirs = ours.fork()
    theirs.leave(BOB)
    ours.now += 50_000
    ours.join(BOB, displayname="Bob")
    ours.send(BOB, "m.room.join_rules", {"join_rule": "public", "by": "Bob"}, "")
    assert both_ways(ours, theirs)["m.room.member", BOB].membership == "leave"


def test_the_conflicted_subgraph_holds_the_paths_between_conflicted_events():
    room = settled("12")
    first = room.state[rules.POWER_LEVELS]
    middle = room.levels(ALICE, **{**first.content, "ban": 60})
    last = room.levels(ALICE, **{**first.content, "ban": 70})
    side = room.name(ALICE, "beside")
    pool = resolution.Pool(lambda ids: {event_id: room.events[event_id] for event_id in ids})
    graph = auth_graph.conflicted_subgraph({first.event_id, last.event_id}, pool)
    assert {first.event_id, middle.event_id, last.event_id} <= graph
    assert side.event_id not in graph and room.state["m.room.member", BOB].event_id not in graph


# --- attacks on the resolution itself

@pytest.mark.parametrize("version", EVERY)
def test_events_nobody_has_are_no_reason_to_fail(version):
    ours = settled(version)
    theirs = ours.fork()
    ours.name(ALICE, "ours")
    theirs.name(BOB, "theirs")
    missing = {**theirs.ids, ("m.room.topic", ""): EventID("$missing"), ("m.room.name", ""): EventID("$gone")}
    found = resolution.resolve(
        ours.version, [ours.ids, missing], lambda ids: {i: ours.events[i] for i in ids if i in ours.events}, lambda _: False
    )
    assert found["m.room.name", ""] == ours.state["m.room.name", ""].event_id


@pytest.mark.parametrize("version", SECOND)
def test_rejected_events_authorise_nothing(version):
    ours = settled(version)
    theirs = ours.fork()
    promoted = theirs.levels(ALICE, users={**({} if version == "12" else {ALICE: 100}), DAVE: 90})
    theirs.ban(DAVE, BOB)
    ours.name(ALICE, "x")
    found = resolution.resolve(
        ours.version, [ours.ids, theirs.ids], lambda ids: {i: ours.events[i] for i in ids}, lambda i: i == promoted.event_id
    )
    assert ours.events[found["m.room.member", BOB]].membership == "join"


def test_auth_events_in_a_circle_end():
    ours = settled("2")
    theirs = ours.fork()
    a, b = ours.name(ALICE, "a"), theirs.name(BOB, "b")
    levels = ours.levels(ALICE, **{**ours.state[rules.POWER_LEVELS].content, "ban": 70})
    for one, other in ((a, b), (b, a), (levels, a)):
        ours.events[one.event_id] = one.replace(auth_events=(*one.auth_events, other.event_id, levels.event_id))
    ours.events[a.event_id] = ours.events[a.event_id].replace(type="m.room.power_levels", state_key="")
    assert resolve(ours, theirs) == resolve(theirs, ours)


def test_a_long_fork_is_resolved_in_a_blink():
    ours = settled("12")
    theirs = ours.fork()
    for number in range(300):
        ours.send(ALICE, "my.state", {}, str(number))
        theirs.send(BOB, "my.state", {}, str(number))
    ours.ban(ALICE, BOB)
    state = resolve(ours, theirs)
    assert all(state["my.state", str(number)].sender == ALICE for number in range(300))
