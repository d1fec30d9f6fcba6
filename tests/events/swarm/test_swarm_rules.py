"""The rules of swarm rooms as tables: modes, types, votes, bans, devices, admins, the profile."""

import pickle
from base64 import b64encode
from hashlib import sha256

import pytest

from homeserver.events import event, redaction, rules, versions
from homeserver.events.errors import Denied, Impossible, OutOfDate
from homeserver.events.swarm import devices, kinds, names
from homeserver.events.swarm.votes import Motion, digest
from tests.events.swarm.replicas import ALICE, BOB, CARLA, DENYS, EVE, PHONE, SWARM, create, merged, swarm

PEOPLE = (ALICE, BOB, CARLA, DENYS)


def denied(act, *args, **more):
    with pytest.raises(Denied) as error:
        act(*args, **more)
    return str(error.value)


# --- the version

def test_the_version_is_offered_and_not_called_stable():
    assert versions.get(SWARM.id) is SWARM and not SWARM.stable
    assert pickle.loads(pickle.dumps(SWARM)) is SWARM


# --- modes

@pytest.mark.parametrize(
    "content",
    [
        *({"mode": mode} for mode in (0, 1, 2, 3)),
        {"mode": 0, "invited": BOB},
        {"mode": 0, "invited": BOB, "additional_creators": [BOB]},
        {"mode": 2, "additional_creators": [BOB, CARLA]},
    ],
)
def test_modes(content):
    rules.check(create(**content), {})


@pytest.mark.parametrize(
    "content",
    [
        *({"mode": mode} for mode in (-1, 4, None, "1", True, 2**40, [1])),
        *({"mode": mode, "invited": BOB} for mode in (1, 2, 3)),
        *({"mode": 0, "invited": user} for user in (ALICE, "bob", "", None, 5, [BOB])),
        {"mode": 0, "additional_creators": [BOB]},
        {"mode": 0, "invited": BOB, "additional_creators": [CARLA]},
        {names.DEVICE: ""},
        {names.DEVICE: 5},
        {names.DEVICE: "*"},
        {"filling": "x" * 20_000},
    ],
)
def test_what_begins_no_swarm(content):
    denied(rules.check, create(**content), {})


# (mode, who): whom he may invite
INVITES = {
    (0, ALICE): {DENYS},
    (0, BOB): set(),
    (1, ALICE): {DENYS, EVE},
    (1, BOB): {DENYS, EVE},
    (1, CARLA): set(),
    (2, CARLA): {DENYS, EVE},
    (3, CARLA): {DENYS, EVE},
    (3, EVE): set(),
}


@pytest.mark.parametrize(("mode", "who"), INVITES)
def test_who_invites_whom_in_which_mode(mode, who):
    room = swarm(BOB, mode=mode, members=(ALICE,) if mode == 0 else (ALICE, BOB, CARLA), **({"invited": DENYS} if mode == 0 else {}))
    for whom in (DENYS, EVE):
        if whom in INVITES[mode, who]:
            room.fork().invite(who, whom)
        else:
            denied(room.fork().invite, who, whom)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_only_into_a_public_swarm_one_comes_unasked(mode):
    room = swarm(mode=mode, members=())
    if mode == 3:
        room.join(EVE)
    else:
        denied(room.join, EVE)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_the_join_rule_follows_from_the_mode(mode):
    room = swarm(mode=mode, members=())
    right, wrong = ("public", "invite") if mode == 3 else ("invite", "public")
    room.send(ALICE, "m.room.join_rules", {"join_rule": right}, "")
    for rule in (wrong, "knock", "restricted", "", "private"):
        denied(room.send, ALICE, "m.room.join_rules", {"join_rule": rule}, "")


def test_a_conversation_of_two_has_no_third():
    room = swarm(mode=0, members=(ALICE, BOB), invited=BOB)
    denied(room.invite, ALICE, CARLA)
    room.member(BOB, BOB, "leave")
    denied(room.join, BOB)
    room.enter(ALICE, BOB)


def test_nobody_knocks_and_nobody_is_invited_by_address():
    room = swarm(mode=3)
    denied(room.member, EVE, EVE, "knock")
    denied(room.member, ALICE, EVE, "invite", third_party_invite={"signed": {}})


# --- types

GOOD = {
    "m.room.message": {"msgtype": "m.text", "body": "hi", "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}},
    "m.room.encrypted": {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"},
    "m.reaction": {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "+"}},
    "m.room.redaction": {"redacts": "$x"},
    "m.sticker": {"body": "cat", "url": "mxc://x/y"},
    names.FILE: {"tid": "1", "displayName": "a.txt", "totalSize": 3, "sha3sum": "0" * 128},
    names.CALL: {"to": BOB, "duration": 3000},
    "m.call.invite": {"call_id": "1", "version": "1", "offer": {}},
}


def broken(content):
    """The same with each field missing, and with each of a wrong type."""
    for name in content:
        if name not in ("offer", "version", "ciphertext"):
            yield {**content, name: [1]}
        if name in ("msgtype", "algorithm", "redacts", "sha3sum", "tid", "to", "call_id") and len(content) > 1:
            yield {key: value for key, value in content.items() if key != name}


@pytest.mark.parametrize("kind", GOOD)
def test_each_type_of_message_has_a_content_of_its_own(kind):
    room = swarm()
    new = room.send(BOB, kind, GOOD[kind])
    pruned = redaction.redacted(new)
    assert pruned.event_id == new.event_id and pruned.content.keys() <= {names.DEVICE, "redacts"}
    rules.check(pruned, room.state)
    for content in broken(GOOD[kind]):
        with pytest.raises(Impossible):
            room.send(BOB, kind, content)


def test_what_the_table_does_not_hold_is_told_apart():
    room = swarm()
    messages, states = ("org.example.poll", "m.room.name"), ("m.space.child", "m.room.message", "m.room.aliases")
    for kind, key in (*((kind, None) for kind in messages), *((kind, "x") for kind in states)):
        with pytest.raises(OutOfDate):
            rules.check(room.draft(ALICE, kind, {}, key), room.state)


@pytest.mark.parametrize("kind", [kind for kind in kinds.STATE if kind not in ("m.room.create", "m.room.member", names.VOTE)])
def test_state_stands_under_its_own_key_only(kind):
    room = swarm()
    with pytest.raises(Denied):
        room.send(ALICE, kind, {"join_rule": "invite"}, "elsewhere")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.name", {"name": "x" * 300}),
        ("m.room.topic", {"topic": "x" * 5000}),
        ("m.room.encryption", {"algorithm": "x", "filling": "x" * 5000}),
        ("m.room.pinned_events", {"pinned": ["$x"] * 257}),
        ("m.room.history_visibility", {"history_visibility": "everybody"}),
        (names.PROFILE, {"title": "x" * 256}),
        (names.PROFILE, {"title": "x", "colour": "red"}),
        (names.EXPIRY, {"invite_ms": -1}),
    ],
)
def test_state_is_bounded(kind, content):
    room = swarm()
    if kind in names.SHOWING:
        content = {**content, names.PROFILE: room.profile(ALICE, "x").event_id}
    with pytest.raises(Impossible):
        room.send(ALICE, kind, content, "")


STATES = {
    "m.room.name": {"name": "x"},
    "m.room.topic": {"topic": "x"},
    "m.room.avatar": {"url": "mxc://x/y"},
    "m.room.history_visibility": {"history_visibility": "shared"},
    "m.room.guest_access": {"guest_access": "forbidden"},
    "m.room.encryption": {"algorithm": "m.megolm.v1.aes-sha2"},
    "m.room.canonical_alias": {"alias": "#a:x", "alt_aliases": ["#b:x"]},
    "m.room.pinned_events": {"pinned": ["$x"]},
    "m.room.server_acl": {"allow": ["*"], "deny": [], "allow_ip_literals": True},
    "m.room.tombstone": {"replacement_room": "!x"},
    "m.room.join_rules": {"join_rule": "invite"},
    "m.room.power_levels": {"users": {BOB: 100}},
    names.PROFILE: {"title": "x", "description": "y", "avatar": "mxc://x/y", "call": "jami:x"},
    names.CALL: {"uri": "jami:x", "device": PHONE, "confId": "7"},
    names.EXPIRY: {"invite_ms": 5},
}


@pytest.mark.parametrize("kind", STATES)
def test_state_stays_valid_when_it_is_redacted(kind):
    room = swarm(BOB)
    room.profile(ALICE, "x")
    before = room.state
    content = room.shows(kind, **STATES[kind]) if kind in names.SHOWING else STATES[kind]
    new = room.send(ALICE, kind, content, digest(ALICE, "7") if kind == names.CALL else "")
    rules.check(redaction.redacted(new), before)


def test_a_call_is_announced_and_ended_by_its_host():
    room = swarm()
    call, key = {"uri": "jami:x", "device": PHONE, "confId": "7"}, digest(BOB, "7")
    room.send(BOB, names.CALL, call, key)
    room.send(BOB, names.CALL, {**call, "duration": 5000}, key)
    denied(room.send, CARLA, names.CALL, call, key)
    denied(room.send, CARLA, names.CALL, {}, key)


# --- votes and bans

@pytest.mark.parametrize(("admins", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3)])
def test_a_ban_takes_more_than_half_of_the_admins(admins, needed):
    room = swarm(*PEOPLE[1:admins])
    room.enter(ALICE, EVE)
    for voter in PEOPLE[:admins]:
        room.vote(voter, EVE)
    for number in range(admins + 1):
        view = room.fork()
        if number >= needed:
            view.ban(ALICE, EVE, *PEOPLE[:number])
            denied(view.join, EVE)
            denied(view.invite, ALICE, EVE)
        else:
            assert "more than half" in denied(view.ban, ALICE, EVE, *PEOPLE[:number])


@pytest.mark.parametrize("start", ["join", "invite", "leave", "admin", "creator"])
def test_members_invitees_strangers_admins_and_creators_can_be_banned(start):
    room = swarm(BOB, CARLA)
    target = {"admin": CARLA, "creator": ALICE}.get(start, EVE)
    if start in ("join", "invite"):
        room.invite(ALICE, EVE)
    if start == "join":
        room.join(EVE)
    voters = [user for user in (ALICE, BOB, CARLA) if user != target][:2]
    for voter in voters:
        room.vote(voter, target)
    room.ban(voters[0], target, *voters)
    assert room.membership(target) == "ban"
    denied(room.levels, target, DENYS)
    denied(room.vote, target, BOB)
    denied(room.join, target)


def test_a_banned_admin_counts_no_more_where_the_ban_is_cited():
    room = swarm(BOB, CARLA)
    for target in (CARLA, DENYS):
        room.vote(ALICE, target)
        room.vote(BOB, target)
    room.vote(CARLA, DENYS)
    room.ban(ALICE, CARLA, ALICE, BOB)
    assert "of the 2 admins, and there are 1" in denied(room.fork().ban, ALICE, DENYS, ALICE, CARLA)
    assert "of the 3 admins, and there are 1" in denied(room.fork().ban, ALICE, DENYS, ALICE)
    room.ban(ALICE, DENYS, ALICE, BOB)


def test_the_ban_of_an_admin_is_cited_by_naming_him():
    room = swarm(BOB, CARLA, DENYS)
    for target, voters in ((DENYS, (ALICE, BOB, CARLA)), (EVE, (ALICE, BOB))):
        for voter in voters:
            room.vote(voter, target)
    room.ban(ALICE, DENYS, ALICE, BOB, CARLA)
    assert "of the 4 admins" in denied(room.fork().ban, ALICE, EVE, ALICE, BOB)
    room.ban(ALICE, EVE, ALICE, BOB, **{names.BANNED_ADMINS: [DENYS]})


def test_members_neither_vote_nor_ban_nor_remove():
    room = swarm(BOB)
    denied(room.vote, CARLA, DENYS)
    room.vote(ALICE, DENYS)
    room.vote(BOB, DENYS)
    denied(room.ban, CARLA, DENYS, ALICE, BOB)
    for who in (ALICE, BOB, CARLA):
        denied(room.member, who, DENYS, "leave")
    room.ban(ALICE, DENYS, ALICE, BOB)
    denied(room.ban, ALICE, DENYS, ALICE, BOB)
    denied(room.member, DENYS, DENYS, "leave")
    denied(swarm().ban, ALICE, ALICE, ALICE)


def test_an_invite_is_withdrawn_by_who_sent_it():
    room = swarm(BOB)
    room.invite(CARLA, EVE)
    denied(room.member, ALICE, EVE, "leave")
    room.member(CARLA, EVE, "leave")


@pytest.mark.parametrize(
    "content",
    [
        {"action": "kick"},
        {"kind": "room"},
        {"kind": "device"},
        {"target": "eve"},
        {"target": 5},
        {"target_device": "X"},
        {"target_device": 5},
        {"more": 1},
        {"voter": BOB},
    ],
)
def test_forms_that_are_no_vote(content):
    room = swarm()
    right = {"action": "ban", "kind": "user", "target": EVE}
    denied(room.send, ALICE, names.VOTE, {**right, **content}, Motion("ban", "user", EVE).key(ALICE)[1])
    room.send(ALICE, names.VOTE, right, Motion("ban", "user", EVE).key(ALICE)[1])


def test_nobody_votes_for_somebody_else_or_twice():
    room = swarm(BOB, CARLA)
    vote = {"action": "ban", "kind": "user", "target": DENYS}
    denied(room.send, ALICE, names.VOTE, vote, Motion("ban", "user", DENYS).key(BOB)[1])
    denied(room.send, ALICE, names.VOTE, vote, "second")
    room.vote(ALICE, DENYS)
    room.vote(ALICE, DENYS)
    denied(room.ban, ALICE, DENYS, ALICE)
    denied(room.ban, ALICE, DENYS, ALICE, ALICE)
    denied(room.ban, ALICE, DENYS, ALICE, BOB, CARLA, EVE)


def test_the_key_of_a_vote_is_what_other_implementers_compute():
    text = b'["ban","user","@eve:eve.example","","@alice:alice.example"]'
    key = b64encode(sha256(text).digest()).decode().rstrip("=")
    assert key == "bUqWwvuzgkVjwSG80X46kSoxUNKiPXZK3X6Qx4UsqA0"
    assert Motion("ban", "user", EVE).key(ALICE) == (names.VOTE, key)


def test_a_vote_stands_until_the_opposite_takes_it_back():
    room = swarm(BOB, CARLA)
    room.vote(ALICE, DENYS)
    room.vote(BOB, DENYS)
    changed = room.fork()
    changed.vote(BOB, DENYS, "unban")
    denied(changed.ban, ALICE, DENYS, ALICE, BOB)
    changed.vote(BOB, DENYS)
    changed.ban(ALICE, DENYS, ALICE, BOB)
    changed.vote(BOB, DENYS, "unban")
    denied(changed.unban, BOB, DENYS, BOB)
    changed.vote(CARLA, DENYS, "unban")
    changed.unban(BOB, DENYS, BOB, CARLA)
    changed.enter(CARLA, DENYS)
    # Alice's vote still stands; that of Bob, which banned him once, does not.
    denied(changed.ban, ALICE, DENYS, ALICE, BOB)
    changed.vote(CARLA, DENYS)
    changed.ban(ALICE, DENYS, ALICE, CARLA)


def test_who_left_still_counts_as_an_admin():
    room = swarm(BOB, CARLA)
    room.member(BOB, BOB, "leave")
    room.vote(ALICE, DENYS)
    assert "of the 3 admins" in denied(room.ban, ALICE, DENYS, ALICE)


def test_hundreds_of_votes_fit():
    room = swarm(members=(ALICE,))
    admins = [ALICE.replace("alice", f"admin{number}") for number in range(120)]
    room.levels(ALICE, *admins)
    admins = [event.UserID(user) for user in admins]
    room.enter(ALICE, *admins[:61])
    for voter in admins[:61]:
        room.vote(voter, EVE)
    denied(room.ban, admins[0], EVE, *admins[:60])
    ban = room.ban(admins[0], EVE, *admins[:61])
    assert len(ban.auth_events) > 120


def test_a_ban_cites_nothing_beside_its_votes():
    room = swarm(BOB, CARLA)
    for voter in (ALICE, BOB, CARLA):
        room.vote(voter, EVE)
    extra = room.ids()[Motion("ban", "user", EVE).key(CARLA)]
    denied(room.send, ALICE, "m.room.member", {"membership": "ban", names.VOTES: [ALICE, BOB]}, EVE, more=[extra])
    motion = Motion("ban", "user", EVE)
    denied(room.send, ALICE, "m.room.member", {"membership": "ban", names.VOTES: [ALICE, BOB]}, EVE, omit=[motion.key(BOB)])


# --- admins

def test_admins_name_admins_and_end_only_their_own_time():
    room = swarm(BOB)
    room.levels(BOB, CARLA)
    assert "by votes" in denied(room.send, ALICE, "m.room.power_levels", {"users": {CARLA: 100}}, "")
    denied(room.send, BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")
    assert "by votes" in denied(room.send, ALICE, "m.room.power_levels", {"users": {BOB: 99, CARLA: 100}}, "")
    room.send(BOB, "m.room.power_levels", {"users": {BOB: 50, CARLA: 100}}, "")
    denied(room.levels, BOB, DENYS)
    denied(room.levels, DENYS, DENYS)


def test_not_everybody_is_an_admin():
    room = swarm()
    denied(room.levels, ALICE, users_default=100)
    denied(room.levels, ALICE, *(f"@u{number}:x" for number in range(256)))
    denied(room.levels, ALICE, ALICE)


# --- devices

@pytest.mark.parametrize("device", ["", "x" * 256, 5, None, [], "*"])
def test_each_event_names_a_device(device):
    room = swarm()
    denied(room.send, BOB, "m.room.message", {"msgtype": "m.text", "body": "x", names.DEVICE: device})
    denied(room.say, BOB, device=None)


def test_without_a_device_one_can_only_leave():
    room = swarm()
    denied(room.join, BOB, **{names.DEVICE: "*"})
    room.member(BOB, BOB, "leave", **{names.DEVICE: "*"})


def test_a_banned_device_says_nothing_and_others_go_on():
    room = swarm(BOB, CARLA)
    room.vote(ALICE, BOB, target_device="STOLEN")
    denied(room.ban_device, ALICE, BOB, "STOLEN", ALICE)
    room.vote(CARLA, BOB, target_device="STOLEN")
    denied(room.ban, ALICE, BOB, ALICE, CARLA)
    denied(room.ban_device, ALICE, BOB, PHONE, ALICE, CARLA)
    room.ban_device(ALICE, BOB, "STOLEN", ALICE, CARLA)
    denied(room.ban_device, ALICE, BOB, "STOLEN", ALICE, CARLA)
    denied(room.say, BOB, device="STOLEN")
    denied(room.vote, BOB, CARLA, device="STOLEN")
    room.say(BOB)
    room.say(CARLA, device="STOLEN")
    for voter in (ALICE, BOB):
        room.vote(voter, BOB, "unban", target_device="STOLEN")
    room.ban_device(ALICE, BOB, "STOLEN", ALICE, BOB, banned=False)
    room.say(BOB, device="STOLEN")
    denied(room.ban_device, ALICE, BOB, "STOLEN", ALICE, BOB, banned=False)


def test_the_ban_of_a_device_stands_under_its_key():
    room = swarm()
    room.vote(ALICE, BOB, target_device="X")
    content = {"target": BOB, "target_device": "X", "banned": True, names.VOTES: [ALICE]}
    denied(room.send, ALICE, names.DEVICE_BAN, content, devices.key_of(BOB, "Y")[1])
    for wrong in ({"banned": 1}, {"target": 5}, {"target_device": ""}, {names.VOTES: [ALICE, ALICE]}, {names.VOTES: ALICE}):
        denied(room.send, ALICE, names.DEVICE_BAN, {**content, **wrong}, devices.key_of(BOB, "X")[1])


def test_what_a_banned_device_did_meanwhile_is_no_state():
    room = swarm(BOB)
    ours, theirs = room.fork(), room.fork()
    for voter in (ALICE, BOB):
        ours.vote(voter, BOB, target_device="STOLEN")
    ours.ban_device(ALICE, BOB, "STOLEN", ALICE, BOB)
    theirs.profile(BOB, "taken over", device="STOLEN")
    assert (names.PROFILE, "") not in merged(ours, theirs).state


# --- the profile

def test_the_profile_is_the_admins():
    room = swarm(BOB)
    room.profile(BOB, "ours")
    denied(room.profile, CARLA, "mine")
    denied(room.send, CARLA, "m.room.name", room.shows("m.room.name", name="mine"), "")


def test_what_shows_a_profile_names_the_one_that_there_is():
    room = swarm(BOB)
    denied(room.send, ALICE, "m.room.name", {"name": "x", names.PROFILE: "$none"}, "")
    first = room.name(BOB, "first")
    room.send(ALICE, "m.room.topic", room.shows("m.room.topic", topic="about"), "")
    denied(room.send, ALICE, "m.room.avatar", {"url": "mxc://x/y"}, "")
    denied(room.send, ALICE, "m.room.avatar", {"url": "mxc://x/y", names.PROFILE: 5}, "")
    room.profile(BOB, "second")
    denied(room.send, ALICE, "m.room.name", {**first.content}, "")
    # who hides what is to be shown, or leaves it out of what it cites, is not believed
    denied(room.send, ALICE, "m.room.name", room.shows("m.room.name", name="x"), "", omit=[(names.PROFILE, "")])
    assert redaction.redacted(first).content.keys() == {names.PROFILE, names.DEVICE}


@pytest.mark.parametrize("attempt", range(30))
def test_after_a_merge_the_name_is_that_of_the_profile_that_won(attempt):
    room = swarm(BOB, CARLA)
    if attempt % 2:
        room.name(ALICE, f"before {attempt}")
    ours, theirs = room.fork(), room.fork()
    ours.name(ALICE, f"first {attempt}")
    theirs.name(BOB, f"other {attempt}")
    if attempt % 3:
        theirs.send(BOB, "m.room.topic", theirs.shows("m.room.topic", topic="only there"), "")
    if attempt % 5 == 1:
        for voter in (ALICE, CARLA):
            ours.vote(voter, BOB)
        ours.ban(ALICE, BOB, ALICE, CARLA)
    both = merged(ours, theirs)
    profile = both.state[names.PROFILE, ""]
    assert both.state["m.room.name", ""].content["name"] == profile.content["title"]
    assert all(both.state[kind, ""].content[names.PROFILE] == profile.event_id for kind in names.SHOWING if (kind, "") in both.state)
    assert attempt % 5 != 1 or profile.sender == ALICE
    assert merged(both, ours, theirs).ids() == both.ids()


def test_of_a_profile_that_lost_nothing_is_shown_even_where_nothing_else_is():
    room = swarm(BOB, CARLA)
    ours, theirs = room.fork(), room.fork()
    theirs.profile(BOB, "taken over")
    theirs.send(CARLA, "m.room.name", theirs.shows("m.room.name", name="taken over"), "")
    for voter in (ALICE, CARLA):
        ours.vote(voter, BOB)
    ours.ban(ALICE, BOB, ALICE, CARLA)
    state = merged(ours, theirs).state
    assert (names.PROFILE, "") not in state and ("m.room.name", "") not in state


@pytest.mark.parametrize("attempt", range(30))
def test_a_later_profile_beats_the_one_it_follows_and_of_two_the_higher_hash(attempt):
    room = swarm(BOB)
    ours, theirs = room.fork(), room.fork()
    ours.profile(ALICE, f"first {attempt}")
    second = ours.profile(BOB, f"second {attempt}")
    other = theirs.profile(BOB, f"other {attempt}")
    theirs.levels(BOB, CARLA)
    both = merged(ours, theirs)
    assert both.ids()[names.PROFILE, ""] == max(second.event_id, other.event_id)
    last = both.profile(CARLA, "last")
    assert merged(both, ours, theirs).ids()[names.PROFILE, ""] == last.event_id


def test_the_profile_of_one_who_was_banned_meanwhile_does_not_count():
    room = swarm(BOB, CARLA)
    first = room.profile(ALICE, "first")
    ours, theirs = room.fork(), room.fork()
    for voter in (ALICE, BOB):
        ours.vote(voter, CARLA)
    ours.ban(ALICE, CARLA, ALICE, BOB)
    theirs.profile(CARLA, "second")
    assert merged(ours, theirs).state[names.PROFILE, ""] == first


# --- time

def test_timestamps_never_matter():
    results = set()
    room = swarm(BOB)
    for ours_at, theirs_at in ((0, 2**40), (2**40, 0), (0, 0)):
        ours, theirs = room.fork(), room.fork()
        a = ours.send(ALICE, "m.room.canonical_alias", {"alias": "#a:x"}, "", now=ours_at)
        b = theirs.send(BOB, "m.room.canonical_alias", {"alias": "#b:x"}, "", now=theirs_at)
        results.add(merged(ours, theirs).ids()["m.room.canonical_alias", ""] == max(a.event_id, b.event_id))
    assert results == {True}


def test_a_redaction_leaves_what_decides():
    room = swarm(BOB)
    vote = room.vote(ALICE, CARLA)
    room.vote(BOB, CARLA)
    ban = room.ban(ALICE, CARLA, ALICE, BOB, reason="spam")
    assert redaction.redacted(vote).content == vote.content
    pruned = redaction.redacted(ban)
    assert pruned.content.keys() == {"membership", names.VOTES, names.DEVICE}
    assert rules.auth_keys(SWARM, ban.type, ban.sender, ban.state_key, pruned.content) == rules.auth_keys(
        SWARM, ban.type, ban.sender, ban.state_key, ban.content
    )
