"""Swarms that split, quarrel and meet again: whatever was said, by whomever, in whatever order it is heard, all end with one state.

Each history grows from one number: what fails is replayed with it.
"""

import random

import pytest

from homeserver.events import auth_graph, resolution, rules
from homeserver.events.errors import Denied
from homeserver.events.swarm import devices, names
from homeserver.events.swarm.admins import admins
from homeserver.events.swarm.votes import Motion, check_motion, motion_of
from tests.events.swarm.literal import LiteralSwarm
from tests.events.swarm.replicas import ALICE, BOB, CARLA, DENYS, EVE, PHONE, SWARM, Replica, create

PEOPLE = (ALICE, BOB, CARLA, DENYS, EVE)
SEEDS = range(300)


class Storm:
    """Some servers of one swarm.  What each does, and what it hears of others, chance decides."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        first = create(mode=self.dice.choice((1, 2, 2, 3)), additional_creators=self.dice.choice(([], [BOB])), nonce=seed)
        room = Replica(first)
        room.join(ALICE)
        room.levels(ALICE, *(user for user in (CARLA, DENYS) if self.dice.random() < 0.6))
        room.enter(ALICE, BOB, CARLA, DENYS)
        self.replicas = [room.fork() for _ in range(self.dice.choice((2, 3, 4)))]
        self.acts = (
            *(self.vote, self.vote, self.ban, self.oust, self.oust, self.ban, self.unban),
            *(self.ban_device, self.levels, self.profile, self.title, self.retitle, self.name),
            *(self.say, self.come, self.go, self.invite, self.hear, self.hear_some),
            *(self.forge_vote, self.forge_ban, self.long_ago, self.strange, self.rob_device),
        )

    def run(self, steps=24):
        for _ in range(steps):
            replica = self.dice.choice(self.replicas)
            try:
                self.dice.choice(self.acts)(replica)
            except Denied:
                continue
        return self

    def someone(self):
        return self.dice.choice(PEOPLE)

    def any_motion(self, action):
        target = self.someone()
        return Motion(action, "device", target, PHONE) if self.dice.random() < 0.2 else Motion(action, "user", target)

    # --- the honest

    def vote(self, replica):
        motion = self.any_motion(self.dice.choice(("ban", "ban", "unban")))
        for voter in self.dice.sample(PEOPLE, self.dice.randint(1, 4)):
            try:
                replica.vote(voter, motion.target, motion.action, motion.device)
            except Denied:
                continue

    def voters(self, replica, motion):
        return [user for user in PEOPLE if motion.key(user) in replica.ids() and self.dice.random() < 0.95]

    def banned_admins(self, replica):
        return [user for user in PEOPLE if replica.membership(user) == "ban" and self.dice.random() < 0.9]

    def ban(self, replica):
        for target in self.dice.sample(PEOPLE, 5):
            voters = self.voters(replica, Motion("ban", "user", target))
            if voters:
                replica.ban(self.dice.choice(voters), target, *voters, **{names.BANNED_ADMINS: self.banned_admins(replica)})

    def oust(self, replica):
        """What a quarrel comes to: all who may vote, and one of them acts on it."""
        target, voted = self.someone(), []
        for voter in self.dice.sample(PEOPLE, 4):
            try:
                replica.vote(voter, target)
                voted.append(voter)
            except Denied:
                continue
        if voted:
            replica.ban(self.dice.choice(voted), target, *voted, **{names.BANNED_ADMINS: self.banned_admins(replica)})

    def unban(self, replica):
        for target in replica.members("ban"):
            voters = self.voters(replica, Motion("unban", "user", target))
            replica.unban(self.dice.choice(voters or PEOPLE), target, *voters)

    def ban_device(self, replica):
        for target in self.dice.sample(PEOPLE, 5):
            banned = not devices.is_banned(replica.state, target, PHONE)
            voters = self.voters(replica, Motion("ban" if banned else "unban", "device", target, PHONE))
            if voters:
                replica.ban_device(self.dice.choice(voters), target, PHONE, *voters, banned=banned)

    def levels(self, replica):
        replica.levels(self.someone(), self.someone())

    def profile(self, replica):
        replica.profile(self.someone(), str(self.dice.random()))

    def title(self, replica):
        replica.name(self.someone(), str(self.dice.random()))

    def retitle(self, replica):
        """An act that is half done, or done twice."""
        kind, text = self.dice.choice((("m.room.name", "name"), ("m.room.topic", "topic"), ("m.room.avatar", "url")))
        shown = [new.event_id for new in replica.events.values() if new.type == names.PROFILE]
        if shown:
            content = {text: str(self.dice.random()), names.PROFILE: self.dice.choice(shown[-2:])}
            replica.send(self.someone(), kind, content, "")

    def name(self, replica):
        replica.send(self.someone(), "m.room.canonical_alias", {"alias": str(self.dice.random())}, "", now=self.dice.randrange(10**6))

    def say(self, replica):
        replica.say(self.someone(), now=self.dice.randrange(10**6), device=self.dice.choice((PHONE, "LAPTOP")))

    def come(self, replica):
        replica.join(self.someone())

    def go(self, replica):
        user = self.someone()
        replica.member(user, user, "leave")

    def invite(self, replica):
        replica.invite(self.someone(), self.someone())

    def hear(self, replica):
        replica.merge(self.dice.choice(self.replicas))

    def hear_some(self, replica):
        other = list(self.dice.choice(self.replicas).events.values())
        for new in other[: self.dice.randrange(len(other) + 1)]:
            replica.take(new)

    # --- the hostile

    def forge_vote(self, replica):
        motion, voter = self.any_motion("ban"), self.someone()
        content = {"action": "ban", "kind": motion.kind, "target": motion.target}
        replica.send(self.someone(), names.VOTE, content, motion.key(voter)[1])

    def forge_ban(self, replica):
        voters = self.dice.sample(PEOPLE, self.dice.randint(0, 4))
        replica.ban(self.someone(), self.someone(), *voters, **{names.BANNED_ADMINS: self.dice.sample(PEOPLE, 2)})

    def long_ago(self, replica):
        """An event at a place in the graph that is long past, citing the state of then."""
        place = [self.dice.choice(list(replica.after))]
        state = replica.view(replica.resolved(place))
        who, whom = self.someone(), self.someone()
        voters = [user for user in PEOPLE if Motion("ban", "user", whom).key(user) in state]
        content, key = self.dice.choice(
            [({"membership": "ban", names.VOTES: voters}, whom), ({"membership": "join"}, who), ({"membership": "leave"}, whom)]
        )
        replica.send(who, "m.room.member", content, key, ends=place)

    def strange(self, replica):
        kind = self.dice.choice(("org.example.unknown", "m.room.join_rules", "m.room.name"))
        replica.send(self.someone(), kind, {"join_rule": self.dice.choice(("public", "invite")), "name": 5}, "")

    def rob_device(self, replica):
        target = self.someone()
        replica.ban_device(self.someone(), target, PHONE, *self.dice.sample(PEOPLE, 3))

    # --- the end

    def all_events(self):
        return {event_id: new for replica in self.replicas for event_id, new in replica.events.items()}


def heard(storm, order):
    """A server that was not there and hears of everything in an order that chance makes, each event after its ancestors."""
    events = storm.all_events()
    fresh = Replica(storm.replicas[0].created)
    waiting = [new for event_id, new in events.items() if event_id not in fresh.events]
    order.shuffle(waiting)
    while waiting:
        ready = [new for new in waiting if all(other in fresh.events for other in (*new.prev_events, *new.auth_events))]
        new = order.choice(ready)
        waiting.remove(new)
        fresh.take(new)
    return fresh


@pytest.mark.parametrize("chunk", range(0, len(SEEDS), 30))
def test_all_replicas_end_with_one_state(chunk):
    for seed in SEEDS[chunk : chunk + 30]:
        storm = Storm(seed).run()
        first = heard(storm, random.Random(0))
        for order in (1, 2):
            other = heard(storm, random.Random(order))
            assert other.ids() == first.ids(), f"seed {seed}"
            assert other.rejected.keys() == first.rejected.keys(), f"seed {seed}"
        for replica in storm.replicas:
            for other in storm.replicas:
                replica.merge(other)
            assert replica.ids() == first.ids(), f"seed {seed}"


@pytest.mark.parametrize("chunk", range(0, len(SEEDS), 60))
def test_whoever_is_banned_was_voted_out_by_more_than_half_of_some_admins(chunk):
    for seed in SEEDS[chunk : chunk + 60]:
        whole = heard(Storm(seed).run(), random.Random(0))
        for (kind, key), one in whole.state.items():
            assert one.event_id not in whole.rejected, f"seed {seed}"
            if kind == names.VOTE:
                assert motion_of(one.content).key(one.sender) == one.key, f"seed {seed}"
            if kind in names.SHOWING:
                # A name of two profiles ago is one that both sides of every fork had left as it was.
                shown = whole.events[one.content[names.PROFILE]]
                assert shown.event_id not in whole.rejected, f"seed {seed}"
            if kind == "m.room.member" and one.membership == "ban":
                cited = rules.by_key([whole.events[other] for other in one.auth_events])
                check_motion(one, {**cited, rules.CREATE: whole.created}, Motion("ban", "user", key))


@pytest.mark.parametrize("chunk", range(5000, 5600, 60))
def test_where_all_write_whole_acts_the_name_is_that_of_the_profile(chunk):
    for seed in range(chunk, chunk + 30):
        storm = Storm(seed)
        # Half of an act may be all that somebody has heard.
        storm.acts = (
            *(storm.title, storm.title, storm.title, storm.oust, storm.levels, storm.come, storm.go),
            *(storm.rob_device, storm.unban, storm.say, storm.hear, storm.hear_some),
        )
        state = heard(storm.run(), random.Random(0)).state
        if ("m.room.name", "") in state:
            name, profile = state["m.room.name", ""].content, state[names.PROFILE, ""]
            assert (name["name"], name[names.PROFILE]) == (profile.content["title"], profile.event_id), f"seed {seed}"


def test_the_storms_are_storms():
    bans = rejections = forks = devices_banned = named = 0
    for seed in SEEDS[:60]:
        whole = heard(Storm(seed).run(), random.Random(0))
        bans += len(whole.members("ban"))
        rejections += len(whole.rejected)
        forks += len(whole.ends) > 1
        devices_banned += any(kind == names.DEVICE_BAN for kind, _ in whole.state)
        named += ("m.room.name", "") in whole.state
    assert bans > 10 and rejections > 60 and forks > 20 and devices_banned >= 1 and named > 10


@pytest.mark.parametrize("seed", range(60))
def test_merging_step_by_step_and_at_once_are_the_same_to_who_hears_the_same(seed):
    """Events that merge halves on the way are part of the graph: where they stand decides, not when they come."""
    storm = Storm(1000 + seed).run(12)
    storm.replicas[0].merge(storm.replicas[1])
    for user in (ALICE, BOB, CARLA):
        try:
            storm.replicas[0].say(user, "we met")
        except Denied:
            continue
    storm.run(8)
    assert heard(storm, random.Random(1)).ids() == heard(storm, random.Random(2)).ids()


@pytest.mark.parametrize("seed", range(60))
def test_what_halves_differ_in_is_enough_to_resolve_them(seed):
    whole = heard(Storm(seed).run(), random.Random(0))
    states = [whole.after[end] for end in whole.ends]
    agreed, conflicts = resolution.separate(states)

    def supported(asked):
        common = {event_id: whole.events[event_id].auth_events for event_id in agreed.values()}
        return auth_graph.supported(asked, common, lambda ids: {each: whole.events[each].auth_events for each in ids})

    def lookup(keys):
        return {key: agreed[key] for key in keys if key in agreed}

    found = resolution.resolve_fork(SWARM, conflicts, lookup, supported, whole.load, lambda event_id: event_id in whole.rejected)
    assert {**agreed, **found} == whole.ids()


@pytest.mark.parametrize("seed", range(2000, 2060))
def test_resolution_does_what_the_page_says_word_by_word(seed):
    whole = heard(Storm(seed).run(), random.Random(0))
    states = [whole.after[end] for end in whole.ends]
    assert LiteralSwarm(SWARM, states, whole.events).resolve() == whole.ids()


@pytest.mark.parametrize("seed", range(40))
def test_bans_of_both_halves_against_the_other_converge(seed):
    dice = random.Random(seed)
    room = Replica(create(additional_creators=[DENYS], nonce=seed))
    room.join(ALICE)
    room.levels(ALICE)
    room.enter(ALICE, BOB, CARLA, DENYS)
    left, right = room.fork(), room.fork()
    for view, leader, friend, enemy in ((left, ALICE, BOB, DENYS), (right, DENYS, CARLA, ALICE)):
        view.levels(leader, friend)
        for voter in dice.sample((leader, friend), 2):
            view.vote(voter, enemy)
        view.ban(dice.choice((leader, friend)), enemy, leader, friend)
    ends = []
    for order in ((left, right), (right, left)):
        view = order[0].fork()
        view.merge(order[1])
        ends.append((view.members("ban"), view.ids()))
    assert ends[0] == ends[1]
    banned, _ = ends[0]
    # The side whose levels stand keeps its ban; there are never both.
    assert banned == {DENYS if BOB in admins(left.state) and BOB in admins(view.state) else ALICE}


# --- what follows, follows: without a clock only what an event cites says that it is later


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("mode", [2, 3])
def test_who_leaves_while_others_talk_has_left(mode, seed):
    room = Replica(create(mode=mode, nonce=seed))
    room.join(ALICE)
    room.levels(ALICE)
    room.enter(ALICE, BOB)
    other = room.fork()
    other.say(ALICE, str(seed))
    room.member(BOB, BOB, "leave")
    room.merge(other)
    assert room.membership(BOB) == "leave"
    # Also where a server heard of an event at the very beginning only now.
    assert room.view(room.resolved({*room.ends, room.created.event_id}))["m.room.member", BOB].membership == "leave"


@pytest.mark.parametrize("seed", range(24))
def test_a_later_change_beats_the_one_that_it_follows(seed):
    room = Replica(create(mode=3, nonce=seed))
    room.join(ALICE)
    room.levels(ALICE)
    room.enter(ALICE, BOB)
    room.send(ALICE, "m.room.pinned_events", {"pinned": []}, "")
    other = room.fork()
    other.say(BOB, str(seed))
    for event_id in (room.created.event_id, *sorted(room.ends)):
        last = room.send(ALICE, "m.room.pinned_events", {"pinned": [event_id]}, "")
    room.merge(other)
    other.merge(room)
    assert room.ids() == other.ids() and room.ids()["m.room.pinned_events", ""] == last.event_id
