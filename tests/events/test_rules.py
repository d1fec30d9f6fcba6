"""The authorisation rules of all room versions, as stories and tables."""

import itertools

import pytest

from homeserver.events import rules, versions
from homeserver.events.errors import Denied
from homeserver.events.identifiers import EventID, RoomID, UserID
from tests.bounded import calls
from tests.events.rooms import ALICE, BOB, CAROL, DAVE, EVE, Room

EVERY = [version.id for version in versions.VERSIONS.values() if version.stable]


def since(version):
    return [other for other in EVERY if int(other) >= version]


def before(version):
    return [other for other in EVERY if int(other) < version]


def denied(call, *args, **more):
    with pytest.raises(Denied) as error:
        call(*args, **more)
    return str(error.value)


@pytest.mark.parametrize("version", EVERY)
def test_a_room_from_creation_to_conversation(version):
    room = Room(version).settled()
    room.join(BOB)
    room.say(BOB)
    assert "needs power 50 to send m.room.name and has 0" in denied(room.name, BOB, "Bob's room")
    room.name(ALICE, "Alice's room")
    room.ban(ALICE, BOB)
    denied(room.say, BOB)
    denied(room.join, BOB)
    room.kick(ALICE, BOB)
    room.join(BOB)
    room.leave(BOB)
    assert room.members() == {ALICE}


# --- create

@pytest.mark.parametrize("version", EVERY)
def test_nothing_may_be_in_a_room_that_was_not_created(version):
    room = Room(version)
    join = room.draft(ALICE, "m.room.member", {"membership": "join"}, ALICE)
    denied(rules.check, join, {})


@pytest.mark.parametrize("version", EVERY)
def test_the_state_of_one_room_is_none_for_another(version):
    room = Room(version).settled()
    message = room.draft(ALICE, "m.room.message", {})
    rules.check(message, room.state)
    room.state[rules.CREATE] = room.create.replace(room_id=RoomID("!else:one.example"))
    denied(rules.check, message, room.state)


@pytest.mark.parametrize("version", EVERY)
def test_a_create_event_is_the_first(version):
    create = Room(version).create
    rules.check(create, {})
    denied(rules.check, create.replace(prev_events=(EventID("$x:y"),)), {})


@pytest.mark.parametrize("version", before(12))
def test_a_room_id_names_the_server_of_its_creator(version):
    denied(rules.check, Room(version).create.replace(room_id=RoomID("!room:two.example")), {})


@pytest.mark.parametrize("named", ["99", 5, None, {}, ["1"], True])
def test_a_create_event_of_an_unknown_version(named):
    create = Room("11").create
    denied(rules.check, create.replace(content={**create.content, "room_version": named}), {})


def test_a_create_event_may_leave_out_its_version():
    rules.check(Room("1").create.replace(content={"creator": ALICE}), {})


@pytest.mark.parametrize("version", before(11))
def test_up_to_10_a_create_event_names_its_creator(version):
    denied(rules.check, Room(version).create.replace(content={}), {})


@pytest.mark.parametrize("more", ["@bob:x", None, {}, [5], ["bob"], ["@bob"], ["@b:x", None], [["@b:x"]], ["@\0:x"]])
def test_additional_creators_are_user_ids(more):
    create = Room("12").create
    denied(rules.check, create.replace(content={"additional_creators": more}), {})
    rules.check(Room("11").create.replace(content={"additional_creators": more}), {})


@pytest.mark.parametrize("version", EVERY)
def test_a_room_closed_to_other_servers(version):
    room = Room(version, **{"m.federate": False}).settled()
    room.join(BOB)
    denied(room.join, EVE)


# --- joining: the rule against the membership

JOINABLE = {
    # join rule: (first version it works in, memberships from which one may join)
    "public": (1, {"leave", "invite", "join", "knock"}),
    "invite": (1, {"invite", "join"}),
    "knock": (7, {"invite", "join"}),
    "restricted": (8, {"invite", "join"}),
    "knock_restricted": (10, {"invite", "join"}),
    "private": (99, set()),
    "unheard_of": (99, set()),
}


@pytest.mark.parametrize("version", EVERY)
@pytest.mark.parametrize("rule", JOINABLE)
def test_who_may_join_under_which_rule(version, rule):
    first, allowed = JOINABLE[rule]
    for membership in ("leave", "invite", "join", "ban", "knock"):
        room = in_room(version, rule, {BOB: membership})
        join = room.draft(BOB, "m.room.member", {"membership": "join"}, BOB)
        if membership in allowed and int(version) >= first:
            rules.check(join, room.state)
        else:
            denied(rules.check, join, room.state)


def in_room(version, rule, members):
    """A room with these memberships, however they came about."""
    room = Room(version).settled()
    for user, membership in members.items():
        room.pretend("m.room.member", user, {"membership": membership}, user)
    room.pretend("m.room.join_rules", "", {"join_rule": rule})
    return room


@pytest.mark.parametrize("rule", ["", None, 5, True, ["public"], {"public": 1}])
def test_a_join_rule_of_the_wrong_type_lets_nobody_in(rule):
    room = in_room("12", "public", {BOB: "leave"})
    room.pretend("m.room.join_rules", "", {"join_rule": rule})
    denied(room.join, BOB)


@pytest.mark.parametrize("version", EVERY)
def test_the_creator_alone_may_join_right_after_the_create_event(version):
    room = Room(version)
    denied(room.join, BOB)
    first = room.draft(ALICE, "m.room.member", {"membership": "join"}, ALICE)
    denied(rules.check, first.replace(prev_events=(*first.prev_events, EventID("$more:x"))), room.state)
    room.join(ALICE)
    denied(room.join, BOB)


def test_additional_creators_do_not_join_without_an_invitation():
    room = Room("12", additional_creators=[BOB])
    denied(room.join, BOB)
    room.join(ALICE)
    room.invite(ALICE, BOB)
    room.join(BOB)


def test_nobody_joins_for_somebody_else():
    room = in_room("12", "public", {BOB: "invite"})
    denied(room.member, ALICE, BOB, "join")


@pytest.mark.parametrize(
    ("version", "rule"), [("8", "restricted"), ("12", "restricted"), ("10", "knock_restricted"), ("12", "knock_restricted")]
)
def test_a_restricted_join_takes_a_member_who_may_invite(version, rule):
    room = in_room(version, rule, {BOB: "leave", CAROL: "join", DAVE: "leave"})
    room.join(BOB, join_authorised_via_users_server=CAROL)
    room.leave(BOB)
    denied(room.join, BOB, join_authorised_via_users_server=DAVE)
    room.levels(ALICE, invite=50, users={} if version == "12" else {ALICE: 100})
    assert "may not invite" in denied(room.join, BOB, join_authorised_via_users_server=CAROL)
    room.join(BOB, join_authorised_via_users_server=ALICE)
    room.leave(BOB)
    for voucher in (DAVE, EVE, BOB, "", 5, None, {}, [ALICE]):
        denied(room.join, BOB, join_authorised_via_users_server=voucher)


def test_a_voucher_does_not_help_the_banned():
    room = in_room("12", "restricted", {BOB: "ban"})
    denied(room.join, BOB, join_authorised_via_users_server=ALICE)


# --- other memberships: every act against every membership of its target

ACTS = {
    # (act, who): memberships of the target for which it works
    ("invite", ALICE): {"leave", "invite", "knock"},
    ("invite", CAROL): {"leave", "invite", "knock"},
    ("invite", DAVE): set(),
    ("leave", ALICE): {"leave", "invite", "join", "knock", "ban"},
    ("leave", CAROL): set(),
    ("leave", DAVE): set(),
    ("ban", ALICE): {"leave", "invite", "join", "knock", "ban"},
    ("ban", CAROL): set(),
    ("ban", DAVE): set(),
    ("join", ALICE): set(),
    ("knock", ALICE): set(),
    ("dance", ALICE): set(),
    ("", ALICE): set(),
}


@pytest.mark.parametrize(("version", "act"), list(itertools.product(("1", "7", "12"), ACTS)))
def test_what_one_may_do_to_another(version, act):
    membership, sender = act
    for current in ("leave", "invite", "join", "knock", "ban"):
        room = in_room(version, "invite", {BOB: current, CAROL: "join", DAVE: "leave"})
        draft = room.draft(sender, "m.room.member", {"membership": membership}, BOB)
        if current in ACTS[act]:
            rules.check(draft, room.state)
        else:
            denied(rules.check, draft, room.state)


@pytest.mark.parametrize("version", EVERY)
def test_leaving_by_oneself(version):
    for current in ("leave", "invite", "join", "knock", "ban"):
        room = in_room(version, "knock", {BOB: current})
        if current in ("invite", "join") or (current == "knock" and int(version) >= 7):
            room.leave(BOB)
        else:
            denied(room.leave, BOB)


@pytest.mark.parametrize("version", EVERY)
def test_knocking(version):
    for current, rule in itertools.product(("leave", "invite", "join", "knock", "ban"), JOINABLE):
        room = in_room(version, rule, {BOB: current})
        works = (rule == "knock" and int(version) >= 7) or (rule == "knock_restricted" and int(version) >= 10)
        if works and current in ("leave", "knock"):
            room.knock(BOB)
        else:
            denied(room.knock, BOB)


def test_moderators_rank_by_power():
    room = Room("12").settled(users={BOB: 50, CAROL: 50, DAVE: 49})
    for user in (BOB, CAROL, DAVE):
        room.join(user)
    denied(room.ban, BOB, CAROL)
    denied(room.kick, BOB, ALICE)
    denied(room.ban, DAVE, EVE)
    room.ban(BOB, DAVE)
    room.levels(ALICE, users={BOB: 50, CAROL: 40}, kick=30, ban=50)
    denied(room.kick, CAROL, DAVE)
    room.kick(BOB, DAVE)
    room.join(DAVE)
    room.levels(ALICE, users={BOB: 50, CAROL: 29}, kick=30)
    denied(room.kick, CAROL, DAVE)
    room.levels(ALICE, users={BOB: 50, CAROL: 30}, kick=30)
    room.kick(CAROL, DAVE)


@pytest.mark.parametrize("content", [{}, {"membership": None}, {"membership": 5}, {"membership": ["join"]}, {"membership": {}}])
def test_a_membership_of_the_wrong_type(content):
    room = Room("12").settled()
    denied(room.send, BOB, "m.room.member", content, BOB)
    denied(room.send, ALICE, "m.room.member", {"membership": "join"})


# --- other events

@pytest.mark.parametrize("version", EVERY)
def test_state_named_after_a_user_is_his_own(version):
    room = Room(version).settled(state_default=0)
    room.join(BOB)
    room.send(BOB, "my.state", {}, BOB)
    room.send(BOB, "my.state", {}, "bob")
    denied(room.send, BOB, "my.state", {}, ALICE)
    denied(room.send, BOB, "my.state", {}, f"{BOB}x")


@pytest.mark.parametrize("version", EVERY)
def test_aliases_are_free_for_their_server_up_to_5(version):
    room = Room(version).settled()
    aliases = room.draft(EVE, "m.room.aliases", {"aliases": []}, "two.example")
    wrong = room.draft(EVE, "m.room.aliases", {"aliases": []}, "one.example")
    if int(version) < 6:
        rules.check(aliases, room.state)
    else:
        denied(rules.check, aliases, room.state)
    denied(rules.check, wrong, room.state)


@pytest.mark.parametrize("version", EVERY)
def test_redactions_are_guarded_by_the_rules_in_1_and_2_only(version):
    room = Room(version).settled()
    room.join(EVE)
    mine = room.draft(EVE, "m.room.redaction", {}, redacts=EventID("$x:two.example"))
    foreign = room.draft(EVE, "m.room.redaction", {}, redacts=EventID("$x:one.example"))
    rules.check(mine, room.state)
    if int(version) < 3:
        denied(rules.check, foreign, room.state)
        denied(rules.check, room.draft(EVE, "m.room.redaction", {}), room.state)
    else:
        rules.check(foreign, room.state)
    rules.check(room.draft(ALICE, "m.room.redaction", {}, redacts=EventID("$x:two.example")), room.state)


def test_who_may_redact_what():
    room = Room("12").settled()
    room.join(EVE)
    room.join(BOB)
    hers, his = room.say(EVE), room.say(BOB)
    for sender, target, may in ((ALICE, hers, True), (EVE, hers, True), (EVE, his, False), (BOB, hers, False)):
        redaction = room.draft(sender, "m.room.redaction", {}, redacts=target.event_id)
        assert rules.may_redact(redaction, target, room.state) is may
    elsewhere = hers.replace(room_id=RoomID("!" + "x" * 43))
    assert not rules.may_redact(room.draft(ALICE, "m.room.redaction", {}), elsewhere, room.state)


# --- auth events

def test_auth_events_are_exactly_what_the_rules_look_at():
    def kinds(version, kind, sender, state_key, **content):
        keys = rules.auth_keys(versions.get(version), kind, sender, state_key, content)
        return {f"{kind.removeprefix('m.room.')}:{state_key}" for kind, state_key in keys}

    common = {"create:", "power_levels:", f"member:{ALICE}"}
    assert kinds("11", "m.room.create", ALICE, "") == set()
    assert kinds("11", "m.room.message", ALICE, None) == common
    assert kinds("12", "m.room.message", ALICE, None) == common - {"create:"}
    assert kinds("11", "m.room.member", ALICE, BOB, membership="ban") == common | {f"member:{BOB}"}
    for membership in ("join", "invite", "knock"):
        assert kinds("11", "m.room.member", ALICE, BOB, membership=membership) == common | {f"member:{BOB}", "join_rules:"}
    vouched = {"membership": "join", "join_authorised_via_users_server": CAROL}
    assert f"member:{CAROL}" in kinds("8", "m.room.member", BOB, BOB, **vouched)
    assert f"member:{CAROL}" not in kinds("7", "m.room.member", BOB, BOB, **vouched)
    invite = {"membership": "invite", "third_party_invite": {"signed": {"token": "t"}}}
    assert "third_party_invite:t" in kinds("1", "m.room.member", ALICE, BOB, **invite)
    for broken in (None, 5, {}, {"signed": None}, {"signed": {"token": 5}}, {"signed": {"token": ["t"]}}):
        assert len(kinds("1", "m.room.member", ALICE, BOB, membership="invite", third_party_invite=broken)) == 5


@pytest.mark.parametrize("version", EVERY)
def test_what_may_not_be_among_auth_events(version):
    room = Room(version).settled()
    room.join(BOB)
    message = room.say(BOB)
    auth = [room.events[event_id] for event_id in message.auth_events]
    rules.check_auth_events(message, auth)
    denied(rules.check_auth_events, message, [*auth, auth[-1]])
    denied(rules.check_auth_events, message, [*auth, room.state["m.room.member", ALICE]])
    denied(rules.check_auth_events, message, [*auth, message])
    denied(rules.check_auth_events, message, [auth[0].replace(room_id=RoomID("!else:one.example")), *auth[1:]])
    denied(rules.check_auth_events, message, auth, {auth[0].event_id})
    denied(rules.check_auth_events, message.replace(auth_events=(*message.auth_events, message.auth_events[0])), auth)
    without = [one for one in auth if one is not room.create]
    if version == "12":
        denied(rules.check_auth_events, message, [*auth, room.create])
        assert without == auth
    else:
        denied(rules.check_auth_events, message, without)


def test_a_crowd_of_creators_and_a_flood_of_text_cost_little():
    crowd = [f"@c{number}:x" for number in range(3500)]
    room = Room("12", additional_creators=crowd).settled()
    assert calls(lambda: room.levels(ALICE, users={f"@u{number}:x": 1 for number in range(2500)})) < 100 * 2500
    assert calls(lambda: denied(room.levels, ALICE, users={crowd[-1]: 1})) < 100 * 2500
    for content in ({"membership": "x" * 60_000}, {"membership": {"x" * 60_000: 1}}):
        assert len(denied(room.send, ALICE, "m.room.member", content, ALICE)) < 200
    room = Room("11").settled(events={"m.room.power_levels": 0})
    room.join(BOB)
    assert len(denied(room.levels, BOB, users={ALICE: 100}, events={"x" * 60_000: 100})) < 300


def test_sentences_name_who_and_what():
    room = Room("12").settled()
    room.join(BOB)
    assert denied(room.ban, BOB, CAROL) == f"{BOB} needs power 50 to ban and has 0"
    assert denied(room.say, UserID("@nobody:one.example")) == "@nobody:one.example is not in this room"
