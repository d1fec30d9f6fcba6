"""State resolution of swarms once more, word by word from docs/swarm.md: what the real one is held against."""

from functools import cached_property

from homeserver.events import rules
from homeserver.events.errors import Denied
from homeserver.events.power import Power
from homeserver.events.swarm import names
from tests.events.literal import POWER_LEVELS, Literal

PROFILES = (names.PROFILE, "m.room.name", "m.room.topic", "m.room.avatar")


class LiteralSwarm(Literal):
    """One resolution: the algorithm of version 12 but for the differences that the page counts."""

    @cached_property
    def chains(self):
        return {}

    def chain(self, event_id, within=None):
        if within is not None:
            return super().chain(event_id, within)
        if event_id not in self.chains:
            auth = set(self.events[event_id].auth_events)
            self.chains[event_id] = auth.union(*(self.chain(other) for other in auth))
        return self.chains[event_id]

    # 1: no time
    def comparison(self, event_id):
        e = self.events[event_id]
        levels = next((self.events[a] for a in e.auth_events if self.events[a].key == POWER_LEVELS), None)
        return -Power(self.version, self.create, levels).of(e.sender), event_id

    def by_mainline(self, ids, power_levels):
        timeless = {event_id: self.events[event_id].replace(origin_server_ts=0) for event_id in ids}
        here, self.events = self.events, {**self.events, **timeless}
        # 3: the profile is not ordered by mainline
        ordered = super().by_mainline({e for e in ids if here[e].type not in PROFILES}, power_levels)
        self.events, self.profiles = here, {e for e in ids if here[e].type in PROFILES}
        # 1: what is cited comes first
        left, ordered = ordered, []
        while left:
            first = next(e for e in left if not set(here[e].auth_events).intersection(left))
            ordered.append(first)
            left.remove(first)
        return ordered

    # 2: votes and bans of devices
    def is_power_event(self, event_id):
        return self.events[event_id].type in (names.VOTE, names.DEVICE_BAN) or super().is_power_event(event_id)

    # 3: settled last, by hash
    def resolve(self):
        unconflicted = {
            key: value for key, value in self.states[0].items() if all(state.get(key) == value for state in self.states)
        }
        self.profiles = set()
        resolved = super().resolve()
        for kind in PROFILES:
            own = {e for e in self.profiles if self.events[e].type == kind and self.is_allowed(e, resolved, unconflicted)}
            left = [e for e in own if not any(e in self.chain(other) for other in own)]
            if left and (kind, "") not in unconflicted:
                resolved[kind, ""] = max(left)
        return resolved

    def is_allowed(self, event_id, resolved, unconflicted):
        e = self.events[event_id]
        known = {self.events[a].key: self.events[a] for a in e.auth_events}
        for key in rules.auth_keys(self.version, e.type, e.sender, e.state_key, e.content):
            if key in resolved and key not in unconflicted:
                known[key] = self.events[resolved[key]]
            if key == (names.PROFILE, ""):
                # 3: what came out is what is shown
                known.pop(key, None)
                if key in resolved:
                    known[key] = self.events[resolved[key]]
        try:
            rules.check(e, {**known, rules.CREATE: self.create})
        except Denied:
            return False
        return True
