"""State resolution: one state out of several.  Pure; the events come through `load`, in batches.

Holds what all algorithms share and the second one in both its forms (2 and 2.1); the first is in `resolution_v1`.
spec: rooms/v2#state-resolution, rooms/v12#state-resolution
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set

from homeserver.events import resolution_v1, rules
from homeserver.events.errors import Denied
from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID
from homeserver.events.loading import Load, Pool, Rejected
from homeserver.events.power import Power
from homeserver.events.versions import RoomVersion

StateIDs = Mapping[Key, EventID]
# From the ids of each state to the ids in some of their auth chains, but not in all; the states' own events count as in.
Difference = Callable[[Sequence[Set[EventID]]], set[EventID]]


def resolve(
    version: RoomVersion,
    states: Sequence[StateIDs],
    load: Load,
    rejected: Rejected,
    difference: Difference | None = None,
) -> dict[Key, EventID]:
    """The resolution of `states`; neither their order nor repetition matters.

    `load` returns those of the asked events it has, `rejected` says which were.  Without `difference` (an index of auth
    chains) the chains are walked to their end.
    """
    if version.resolution == "1":
        return resolution_v1.resolve(states, Pool(load), rejected)
    unconflicted, conflicted = separate(states)
    if not conflicted:
        return unconflicted
    work = _Second(version, Pool(load), rejected, states)
    return work.resolve(unconflicted, conflicted, states, difference)


def separate(states: Sequence[StateIDs]) -> tuple[dict[Key, EventID], set[EventID]]:
    """(what all states agree on, the events on which they do not).  spec: rooms/v2#definitions"""
    unconflicted: dict[Key, EventID] = {}
    conflicted: set[EventID] = set()
    for key in {key for state in states for key in state}:
        values = {state.get(key) for state in states}
        if len(values) == 1:
            unconflicted[key] = states[0][key]
        else:
            conflicted.update(value for value in values if value is not None)
    return unconflicted, conflicted


def auth_difference(sets: Sequence[Set[EventID]], pool: Pool) -> set[EventID]:
    """The auth difference by walking: which starting sets reach an event is a bit mask that only grows."""
    every = (1 << len(sets)) - 1
    reached: dict[EventID, int] = {}
    frontier: dict[EventID, int] = {}
    for index, ids in enumerate(sets):
        for event_id in ids:
            frontier[event_id] = frontier.get(event_id, 0) | 1 << index
    while frontier:
        grown = {event_id: mask & ~reached.get(event_id, 0) for event_id, mask in frontier.items()}
        pool.fetch(event_id for event_id, mask in grown.items() if mask)
        frontier = {}
        for event_id, mask in grown.items():
            if not mask:
                continue
            reached[event_id] = reached.get(event_id, 0) | mask
            for auth_id in pool.auth_ids(event_id):
                frontier[auth_id] = frontier.get(auth_id, 0) | mask
    return {event_id for event_id, mask in reached.items() if mask != every}


def conflicted_subgraph(conflicted: Collection[EventID], pool: Pool) -> set[EventID]:
    """Everything on a path of auth events from one conflicted event to another, ends included."""
    cited_by: dict[EventID, list[EventID]] = {}
    seen: set[EventID] = set()
    frontier = set(conflicted)
    while frontier:
        pool.fetch(frontier)
        seen |= frontier
        reached: set[EventID] = set()
        for event_id in frontier:
            for auth_id in pool.auth_ids(event_id):
                cited_by.setdefault(auth_id, []).append(event_id)
                reached.add(auth_id)
        frontier = reached - seen
    graph: set[EventID] = set()
    stack = list(conflicted)
    while stack:
        event_id = stack.pop()
        if event_id not in graph:
            graph.add(event_id)
            stack.extend(cited_by.get(event_id, ()))
    return graph


class _Second:
    """One run of the second algorithm: the events at hand, and the room they have to be of."""

    def __init__(self, version: RoomVersion, pool: Pool, rejected: Rejected, states: Sequence[StateIDs]) -> None:
        self._version, self._pool, self._rejected = version, pool, rejected
        creates = sorted({state[rules.CREATE] for state in states if rules.CREATE in state})
        pool.fetch(creates)
        self._create = pool.get(creates[0]) if creates else None

    def resolve(
        self,
        unconflicted: dict[Key, EventID],
        conflicted: set[EventID],
        states: Sequence[StateIDs],
        difference: Difference | None,
    ) -> dict[Key, EventID]:
        sets = [set(state.values()) for state in states]
        full = conflicted | (difference(sets) if difference else auth_difference(sets, self._pool))
        if self._version.resolution == "2.1":
            full |= conflicted_subgraph(conflicted, self._pool)
        full = self._usable(full)
        first = self._with_auth(full, [event_id for event_id in full if _is_power_event(self._pool[event_id])])
        self._prefetch(full, unconflicted)
        resolved = {} if self._version.resolution == "2.1" else dict(unconflicted)
        self._apply(self._by_power(first), resolved)
        self._apply(self._by_mainline(full - first, resolved.get(rules.POWER_LEVELS)), resolved)
        return {**resolved, **unconflicted}

    def _usable(self, ids: set[EventID]) -> set[EventID]:
        """Without what nobody has, what is not state, and what another room put into this one's auth chains."""
        self._pool.fetch(ids)
        room_id = self._create.room_id if self._create else None
        events = (self._pool.get(event_id) for event_id in ids)
        return {event.event_id for event in events if event and event.is_state and event.room_id == room_id}

    def _with_auth(self, full: set[EventID], ids: list[EventID]) -> set[EventID]:
        """The events, and those of the full conflicted set that authorise them, link by link."""
        chosen: set[EventID] = set()
        stack = list(ids)
        while stack:
            event_id = stack.pop()
            if event_id not in chosen:
                chosen.add(event_id)
                stack.extend(auth_id for auth_id in self._pool.auth_ids(event_id) if auth_id in full)
        return chosen

    def _prefetch(self, full: set[EventID], unconflicted: StateIDs) -> None:
        """Bring in, at once, whatever the checks of these events will look at."""
        wanted: set[EventID] = set()
        for event_id in full:
            event = self._pool[event_id]
            wanted.update(event.auth_events)
            wanted.update(unconflicted[key] for key in _auth_keys(event) if key in unconflicted)
        self._pool.fetch(wanted)

    def _by_power(self, ids: set[EventID]) -> list[EventID]:
        """Reverse topological power ordering: auth events first, then power, time and id decide."""
        rank = {event_id: self._rank(self._pool[event_id]) for event_id in ids}
        waits_for = {event_id: {auth for auth in self._pool.auth_ids(event_id) if auth in ids} for event_id in ids}
        holds_up: dict[EventID, list[EventID]] = {}
        for event_id, others in waits_for.items():
            for other in others:
                holds_up.setdefault(other, []).append(event_id)
        heap = [(rank[event_id], event_id) for event_id, others in waits_for.items() if not others]
        heapq.heapify(heap)
        ordered: list[EventID] = []
        while heap:
            _, event_id = heapq.heappop(heap)
            ordered.append(event_id)
            for other in holds_up.get(event_id, ()):
                waits_for[other].discard(event_id)
                if not waits_for[other]:
                    heapq.heappush(heap, (rank[other], other))
        # Ids that are not hashes can be made to cite each other in a circle; such events come last, in a fixed order.
        return ordered + sorted(ids.difference(ordered), key=rank.__getitem__)

    def _rank(self, event: Event) -> tuple[int, int, str]:
        auth = rules.by_key(self._pool.some(event.auth_events))
        create = self._create if self._version.room_id_is_create_hash else auth.get(rules.CREATE)
        levels = Power(self._version, create, auth.get(rules.POWER_LEVELS))
        return -levels.of(event.sender), event.origin_server_ts, event.event_id

    def _by_mainline(self, ids: Iterable[EventID], power_levels: EventID | None) -> list[EventID]:
        """Mainline ordering: the older the power levels an event rests on, the earlier it comes."""
        place = self._mainline(power_levels)
        events = [self._pool[event_id] for event_id in ids]
        events.sort(key=lambda event: (self._mainline_place(event, place), event.origin_server_ts, event.event_id))
        return [event.event_id for event in events]

    def _mainline(self, power_levels: EventID | None) -> dict[EventID, int]:
        """Place of each power levels event of the mainline, counted from its oldest, which is 1."""
        line: dict[EventID, None] = {}
        current = self._pool.fetch_one(power_levels) if power_levels else None
        while current is not None and current.event_id not in line:
            line[current.event_id] = None
            current = self._power_levels_of(current)
        return {event_id: len(line) - index for index, event_id in enumerate(line)}

    def _mainline_place(self, event: Event, place: dict[EventID, int]) -> int:
        """The place of the nearest mainline event below this one, 0 for none.  Remembers what it learns in `place`."""
        passed: dict[EventID, None] = {}
        current: Event | None = event
        while current is not None and current.event_id not in place and current.event_id not in passed:
            passed[current.event_id] = None
            current = self._power_levels_of(current)
        found = place.get(current.event_id, 0) if current is not None else 0
        place.update(dict.fromkeys(passed, found))
        return found

    def _power_levels_of(self, event: Event) -> Event | None:
        self._pool.fetch(event.auth_events)
        return next((auth for auth in self._pool.some(event.auth_events) if auth.key == rules.POWER_LEVELS), None)

    def _apply(self, ordered: list[EventID], resolved: dict[Key, EventID]) -> None:
        """The iterative auth checks: put every event into `resolved` that is allowed when its turn comes."""
        for event_id in ordered:
            event = self._pool[event_id]
            try:
                rules.check(event, self._state_for(event, resolved))
            except Denied:
                continue
            resolved[event.type, event.state_key or ""] = event_id

    def _state_for(self, event: Event, resolved: StateIDs) -> dict[Key, Event]:
        auth = [other for other in self._pool.some(event.auth_events) if not self._rejected(other.event_id)]
        state = rules.by_key(auth)
        if self._version.room_id_is_create_hash and self._create is not None:
            state[rules.CREATE] = self._create
        for key in _auth_keys(event):
            current = self._pool.fetch_one(resolved[key]) if key in resolved else None
            if current is not None and not self._rejected(current.event_id):
                state[key] = current
        return state


def _auth_keys(event: Event) -> set[Key]:
    return rules.auth_keys(event.version, event.type, event.sender, event.state_key, event.content)


def _is_power_event(event: Event) -> bool:
    if event.key in (rules.POWER_LEVELS, rules.JOIN_RULES, rules.CREATE):
        return True
    return event.type == "m.room.member" and event.membership in ("leave", "ban") and event.sender != event.state_key
