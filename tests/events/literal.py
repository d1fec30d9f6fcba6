"""State resolution 2 and 2.1 once more, word by word from the specification and as slow as it reads: what the real one is held against.

In one place it follows what servers do instead: from a power event to those that authorise it they go link by link inside the
full conflicted set, not through the whole auth chain.  Both differ only where a state was reset before version 12.
spec: rooms/v2#state-resolution, rooms/v12#state-resolution
"""

from homeserver.events import rules
from homeserver.events.errors import Denied
from homeserver.events.power import Power

POWER_LEVELS = ("m.room.power_levels", "")


class Literal:
    """One resolution of `states` (key -> event id) among `events`."""

    def __init__(self, version, states, events):
        self.version, self.states, self.events = version, states, events
        self.create = next(events[state[rules.CREATE]] for state in states)

    def resolve(self):
        keys = {key for state in self.states for key in state}
        unconflicted = {key: self.states[0][key] for key in keys if len({state.get(key) for state in self.states}) == 1}
        conflicted = {state[key] for state in self.states for key in state if key not in unconflicted}
        chains = [set(state.values()).union(*(self.chain(e) for e in state.values())) for state in self.states]
        full = conflicted | (set.union(*chains) - set.intersection(*chains))
        newer = self.version.resolution == "2.1"
        if newer:
            full |= self.subgraph(conflicted)
        power = {e for e in full if self.is_power_event(e)}
        first = power.union(*(self.chain(e, full) for e in power))
        partial = self.iterate({} if newer else dict(unconflicted), self.by_power(first))
        rest = self.by_mainline(full - first, partial.get(POWER_LEVELS))
        return {**self.iterate(partial, rest), **unconflicted}

    def chain(self, event_id, within=None):
        auth = set(self.events[event_id].auth_events)
        auth &= auth if within is None else within
        return auth.union(*(self.chain(e, within) for e in auth))

    def subgraph(self, conflicted):
        everything = conflicted.union(*(self.chain(e) for e in conflicted))
        above = {e for e in everything if e in conflicted or self.chain(e) & conflicted}
        below = conflicted.union(*(self.chain(e) for e in conflicted))
        return above & below

    def is_power_event(self, event_id):
        e = self.events[event_id]
        if e.type in ("m.room.power_levels", "m.room.join_rules"):
            return True
        return e.type == "m.room.member" and e.membership in ("leave", "ban") and e.sender != e.state_key

    def by_power(self, ids):
        ordered, left = [], set(ids)
        while left:
            free = [e for e in left if not self.chain(e, left)]
            smallest = min(free, key=self.comparison)
            ordered.append(smallest)
            left.remove(smallest)
        return ordered

    def comparison(self, event_id):
        e = self.events[event_id]
        auth = {self.events[a].key: self.events[a] for a in e.auth_events}
        create = self.create if self.version.room_id_is_create_hash else auth.get(rules.CREATE)
        return -Power(self.version, create, auth.get(POWER_LEVELS)).of(e.sender), e.origin_server_ts, event_id

    def levels_of(self, event_id):
        return next((a for a in self.events[event_id].auth_events if self.events[a].key == POWER_LEVELS), None)

    def by_mainline(self, ids, power_levels):
        mainline = []
        while power_levels is not None:
            mainline.append(power_levels)
            power_levels = self.levels_of(power_levels)

        def position(event_id):
            current = self.levels_of(event_id)
            while current is not None and current not in mainline:
                current = self.levels_of(current)
            return float("inf") if current is None else mainline.index(current)

        return sorted(ids, key=lambda e: (-position(e), self.events[e].origin_server_ts, e))

    def iterate(self, state, ordered):
        for event_id in ordered:
            e = self.events[event_id]
            known = {self.events[a].key: self.events[a] for a in e.auth_events}
            for key in rules.auth_keys(self.version, e.type, e.sender, e.state_key, e.content):
                if key in state:
                    known[key] = self.events[state[key]]
            try:
                rules.check(e, {**known, rules.CREATE: self.create})
            except Denied:
                continue
            state[e.key] = event_id
        return state
