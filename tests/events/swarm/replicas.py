"""Servers of a swarm in memory: each takes events in an order of its own, with real rules and real resolution, without signatures."""

from dataclasses import replace

from homeserver.events import drafts, event, resolution, rules, versions
from homeserver.events.errors import Denied
from homeserver.events.identifiers import UserID
from homeserver.events.swarm import devices, names
from homeserver.events.swarm.votes import Motion

ALICE, BOB, CARLA, DENYS, EVE = (UserID(f"@{name}:{name}.example") for name in ("alice", "bob", "carla", "denys", "eve"))
SWARM = versions.SWARM
PHONE = "PHONE"


def made(draft, room_id, prev, auth, depth, now=0):
    data = drafts.complete(SWARM, replace(draft, device=PHONE), room_id, prev, auth, depth, now)
    # Whatever the content says of the device, or not: other servers are free to lie.
    return event.read(SWARM, {**data, "content": draft.content, "signatures": {}})


def create(mode=2, creator=ALICE, **content):
    content = {"room_version": SWARM.id, "mode": mode, names.DEVICE: PHONE, **content}
    return made(drafts.Draft("m.room.create", creator, content, ""), None, [], [], 1)


class Replica:
    """What one server holds: events, the state after each, whether it was rejected.  Its ends are all accepted events nobody follows."""

    def __init__(self, first=None, **content):
        first = first or create(**content)
        self.events, self.rejected, self.after, self.ends = {}, {}, {}, set()
        self.created = first
        rules.check(first, {})
        self.events[first.event_id] = first
        self.after[first.event_id] = {first.key: first.event_id}
        self.ends = {first.event_id}
        self.memory = {}

    def fork(self):
        other = object.__new__(Replica)
        other.__dict__.update(self.__dict__)
        other.events, other.rejected, other.after = dict(self.events), dict(self.rejected), dict(self.after)
        other.ends = set(self.ends)
        return other

    # --- state

    def load(self, ids):
        return {event_id: self.events[event_id] for event_id in ids if event_id in self.events}

    def resolved(self, ends):
        ends = frozenset(ends)
        if len(ends) == 1:
            return self.after[next(iter(ends))]
        if ends not in self.memory:
            states = [self.after[end] for end in ends]
            self.memory[ends] = resolution.resolve(SWARM, states, self.load, lambda event_id: event_id in self.rejected)
        return self.memory[ends]

    def ids(self):
        return self.resolved(self.ends)

    @property
    def state(self):
        return self.view(self.ids())

    def view(self, ids):
        return {key: self.events[event_id] for key, event_id in ids.items()}

    def membership(self, user):
        return rules.membership(self.state, user)

    def members(self, membership="join"):
        return {key for (kind, key), one in self.state.items() if kind == "m.room.member" and one.membership == membership}

    # --- what comes in

    def take(self, new):
        """An event whose ancestors are here: the status it gets is a function of them alone."""
        if new.event_id in self.events:
            return
        before = self.resolved(new.prev_events)
        self.events[new.event_id] = new
        try:
            for auth_id in new.auth_events:
                if auth_id in self.rejected:
                    raise Denied("it cites a rejected event")
            auth = [self.events[auth_id] for auth_id in new.auth_events]
            rules.check_auth_events(new, auth)
            rules.check(new, {**rules.by_key(auth), rules.CREATE: self.created})
            keys = {rules.CREATE} | rules.auth_keys(SWARM, new.type, new.sender, new.state_key, new.content)
            rules.check(new, {key: self.events[before[key]] for key in keys if key in before})
        except Denied as error:
            self.rejected[new.event_id] = error
            self.after[new.event_id] = before
            return
        self.after[new.event_id] = {**before, new.key: new.event_id} if new.key else before
        self.ends = (self.ends - self.behind(new)) | {new.event_id}

    def behind(self, new):
        """The ends that an event follows, through rejected ones."""
        behind, stack = set(), list(new.prev_events)
        while stack:
            event_id = stack.pop()
            if event_id not in behind:
                behind.add(event_id)
                if event_id in self.rejected:
                    stack.extend(self.events[event_id].prev_events)
        return behind

    def merge(self, other):
        """Take all that another server has, in the order it came there."""
        for new in other.events.values():
            self.take(new)

    # --- what is said

    def draft(self, sender, kind, content, state_key=None, *, ends=None, ids=None, device=PHONE, now=0, omit=(), more=()):
        """The event that comes after `ends`, by default after all, unchecked."""
        ends = sorted(self.ends if ends is None else ends)
        ids = self.resolved(ends) if ids is None else ids
        content = content if names.DEVICE in content or device is None else {names.DEVICE: device, **content}
        keys = rules.auth_keys(SWARM, kind, sender, state_key, content)
        auth = [ids[key] for key in sorted(keys) if key in ids and key not in omit]
        depth = 1 + max(self.events[end].depth for end in ends)
        return made(drafts.Draft(kind, sender, dict(content), state_key), self.created.room_id, ends, [*auth, *more], depth, now)

    def send(self, sender, kind, content, state_key=None, **how):
        """The same, taken in; raises `Denied` where it is rejected."""
        new = self.draft(sender, kind, content, state_key, **how)
        self.take(new)
        if new.event_id in self.rejected:
            raise self.rejected[new.event_id]
        return new

    def member(self, sender, target, membership, **content):
        return self.send(sender, "m.room.member", {"membership": membership, **content}, target)

    def join(self, user, **content):
        return self.member(user, user, "join", **content)

    def invite(self, sender, *users):
        for user in users:
            self.member(sender, user, "invite")

    def enter(self, inviter, *users):
        for user in users:
            self.member(inviter, user, "invite")
            self.join(user)

    def levels(self, sender, *admins, **content):
        before = self.state.get(rules.POWER_LEVELS)
        users = {**(before.content["users"] if before else {}), **dict.fromkeys(admins, 100)}
        return self.send(sender, "m.room.power_levels", {"users": users, **content}, "")

    def vote(self, voter, target, action="ban", target_device="", **how):
        motion = Motion(action, "device" if target_device else "user", target, target_device)
        content = {"action": action, "kind": motion.kind, "target": target}
        if target_device:
            content["target_device"] = target_device
        kind, key = motion.key(voter)
        return self.send(voter, kind, content, key, **how)

    def ban(self, sender, target, *voters, **content):
        return self.member(sender, target, "ban", **{names.VOTES: list(voters), **content})

    def unban(self, sender, target, *voters):
        return self.member(sender, target, "leave", **{names.VOTES: list(voters)})

    def ban_device(self, sender, target, device, *voters, banned=True):
        content = {"target": target, "target_device": device, "banned": banned, names.VOTES: list(voters)}
        return self.send(sender, names.DEVICE_BAN, content, devices.key_of(target, device)[1])

    def say(self, sender, body="hello", **how):
        return self.send(sender, "m.room.message", {"msgtype": "m.text", "body": body}, **how)

    def profile(self, sender, title, **how):
        """The profile alone."""
        return self.send(sender, names.PROFILE, {"title": title}, "", **how)

    def name(self, sender, title, **how):
        """The profile, and the name that shows it; the latter is returned."""
        profile = self.profile(sender, title, **how)
        return self.send(sender, "m.room.name", {"name": title, names.PROFILE: profile.event_id}, "", **how)

    def shows(self, kind, **content):
        """A content that shows the profile of now."""
        return {**content, names.PROFILE: self.ids()[names.PROFILE, ""]}


def swarm(*admins, mode=2, members=(ALICE, BOB, CARLA, DENYS), **content):
    """A room of Alice's with these admins beside her."""
    room = Replica(mode=mode, **content)
    room.join(ALICE)
    room.levels(ALICE, *admins)
    room.enter(ALICE, *(user for user in members if user != ALICE))
    return room


def merged(*replicas):
    """What all become who hear of everything; each order of merging has to give the same."""
    results = []
    for first in replicas:
        whole = first.fork()
        for other in replicas:
            whole.merge(other)
        results.append(whole)
    for one in results:
        assert one.ids() == results[0].ids()
        assert one.rejected.keys() == results[0].rejected.keys()
    return results[0]
