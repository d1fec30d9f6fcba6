"""Whatever stands in an event: the rules of swarms allow or deny, and never fail."""

import random

import pytest

from homeserver.events import rules
from homeserver.events.errors import Denied, Malformed
from homeserver.events.identifiers import EventID
from homeserver.events.swarm import kinds, names
from tests.bounded import calls
from tests.events.swarm.replicas import ALICE, BOB, CARLA, PHONE, create, swarm

JUNK = (
    *(None, True, False, 0, -1, 5, 2**50, "", "x", "@", "@a:b", ALICE, BOB, "$x", "x" * 300, PHONE, "*"),
    *("ban", "unban", "user", "device", "leave", "join", [], [None], [[]], ["x"], [ALICE], [ALICE, ALICE], [{}]),
    *({}, {"x": {}}, {"rel_type": 5}, {"event_id": []}, {"m.in_reply_to": []}),
    *({ALICE: 100}, {BOB: 100}, {BOB: "100"}, {"@": 5}, {"rel_type": "m.annotation", "event_id": "$x", "key": []}),
)
FIELDS = {
    *(field for table in (kinds.STATE, kinds.MESSAGES) for kind in table.values() for field in (*kind.must, *kind.may)),
    *("mode", "invited", "additional_creators", "users", "events", "users_default", "third_party_invite", names.DEVICE),
}


@pytest.mark.parametrize("seed", range(40))
def test_junk_is_allowed_or_denied(seed):
    dice = random.Random(seed)
    room = swarm(BOB)
    state, fields = room.state, sorted(FIELDS)
    for _ in range(80):
        kind, is_state = dice.choice([*((kind, True) for kind in kinds.STATE), *((kind, False) for kind in kinds.MESSAGES)])
        own = (kinds.STATE if is_state else kinds.MESSAGES)[kind]
        chosen = {*dice.sample(fields, 3), *(name for name in (*own.must, *own.may) if dice.random() < 0.8)}
        if dice.random() < 0.9:
            chosen.discard(names.DEVICE)
        content = {names.DEVICE: PHONE, **{name: dice.choice(JUNK) for name in sorted(chosen)}}
        key = dice.choice(("", ALICE, BOB, "x")) if is_state else None
        try:
            if kind == "m.room.create":
                rules.check(create(**content), {})
            else:
                new = room.draft(dice.choice((ALICE, BOB, CARLA)), kind, content, key)
                rules.check(new, state)
        except (Denied, Malformed):
            continue


@pytest.mark.parametrize("mode", [None, 7, [1], "2", {}])
def test_a_room_whose_first_event_is_not_valid_denies_and_does_not_fail(mode):
    room = swarm(mode=3, members=())
    state = {**room.state, rules.CREATE: room.created.replace(content={**room.created.content, "mode": mode})}
    for new in (room.draft(CARLA, "m.room.member", {"membership": kind}, CARLA) for kind in ("join", "invite")):
        with pytest.raises(Denied):
            rules.check(new, state)


def test_a_list_of_votes_without_end_costs_nothing():
    room = swarm()
    voters = [f"@v{number}:x" for number in range(3000)]
    new = room.draft(ALICE, "m.room.member", {"membership": "ban", names.VOTES: voters}, BOB)
    assert calls(lambda: rules.auth_keys(new.version, new.type, new.sender, new.state_key, new.content)) < 200
    with pytest.raises(Denied):
        rules.check(new, room.state)


def test_a_vote_that_a_ban_cites_under_a_foreign_key_is_none():
    room = swarm(BOB, CARLA)
    vote = room.vote(ALICE, "@eve:x")
    key = vote.key
    stolen = {**room.state, key: vote.replace(sender=BOB, event_id=EventID("$stolen"))}
    room.vote(BOB, "@eve:x")
    ban = room.draft(ALICE, "m.room.member", {"membership": "ban", names.VOTES: [ALICE, BOB]}, "@eve:x")
    rules.check(ban, room.state)
    with pytest.raises(Denied):
        rules.check(ban, {**room.state, key: stolen[key]})
