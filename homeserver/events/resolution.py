"""State resolution: one state out of several.  Pure; the events come through `load`, in batches.

`resolve` takes whole states.  `resolve_fork` takes only what they differ in and asks for the rest by key, so that its cost does
not grow with the room.  The second algorithm is here in both its forms (2 and 2.1), the first in `resolution_v1`.
spec: rooms/v2#state-resolution, rooms/v12#state-resolution
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence

from homeserver.events import resolution_v1, rules
from homeserver.events.auth_graph import Agreed, Supported, auth_difference, conflicted_subgraph
from homeserver.events.errors import Denied
from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID
from homeserver.events.loading import Load, Pool, Rejected
from homeserver.events.power import Power
from homeserver.events.versions import RoomVersion

StateIDs = Mapping[Key, EventID]
Rank = tuple[int, int, str]


def resolve(version: RoomVersion, states: Sequence[StateIDs], load: Load, rejected: Rejected) -> dict[Key, EventID]:
    """The resolution of `states`; neither their order nor repetition matters.

    `load` returns those of the asked events it has, `rejected` says which were.  Auth chains are walked to their end.
    """
    agreed, conflicts = separate(states)
    if not any(conflicts):
        return agreed
    pool = Pool(load)
    if version.resolution == "1":
        return {**agreed, **resolution_v1.resolve(conflicts, _lookup(agreed), pool, rejected)}
    difference = auth_difference([set(state.values()) for state in states], pool)
    return {**_Second(version, pool, rejected, _lookup(agreed)).resolve(conflicts, difference), **agreed}


def resolve_fork(
    version: RoomVersion, conflicts: Sequence[StateIDs], agreed: Agreed, supported: Supported, load: Load, rejected: Rejected
) -> dict[Key, EventID]:
    """The same for states of which only the keys they differ in are given: what these keys resolve to.

    `agreed` answers for the keys all states have in common, `supported` which events such an event is or rests on.
    """
    pool = Pool(load)
    if version.resolution == "1":
        return resolution_v1.resolve(conflicts, agreed, pool, rejected)
    candidates = auth_difference([set(state.values()) for state in conflicts], pool)
    difference = candidates - supported(candidates) if candidates else candidates
    resolved = _Second(version, pool, rejected, agreed).resolve(conflicts, difference)
    common = agreed(resolved.keys())
    return {key: event_id for key, event_id in resolved.items() if key not in common}


def separate(states: Sequence[StateIDs]) -> tuple[dict[Key, EventID], list[dict[Key, EventID]]]:
    """(what all states agree on, what is left of each).  spec: rooms/v2#definitions"""
    agreed: dict[Key, EventID] = {}
    if states:
        first, *others = states
        agreed = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    return agreed, [{key: value for key, value in state.items() if key not in agreed} for state in states]


def _lookup(agreed: StateIDs) -> Agreed:
    return lambda keys: {key: agreed[key] for key in keys if key in agreed}


class _Second:
    """One run of the second algorithm: the events at hand, and the room they have to be of."""

    def __init__(self, version: RoomVersion, pool: Pool, rejected: Rejected, agreed: Agreed) -> None:
        self._version, self._pool, self._rejected, self._agreed = version, pool, rejected, agreed
        self._create: Event | None = None

    def resolve(self, conflicts: Sequence[StateIDs], difference: set[EventID]) -> dict[Key, EventID]:
        """What the keys in conflict resolve to.  Some agreed keys may be among the result; there the agreement counts."""
        conflicted = {event_id for state in conflicts for event_id in state.values()}
        self._create = self._find_create(conflicts)
        full = conflicted | difference
        if self._version.resolution == "2.1":
            full |= conflicted_subgraph(conflicted, self._pool)
        full = self._usable(full)
        first = self._with_auth(full, [event_id for event_id in full if _is_power_event(self._pool[event_id])])
        agreed = self._prefetch(full)
        resolved = {} if self._version.resolution == "2.1" else agreed
        self._apply(self._by_power(first), resolved)
        last = [{event_id for event_id in full if self._pool[event_id].type in kinds} for kinds in self._version.settled_by_hash]
        self._apply(self._by_mainline(full.difference(first, *last), resolved.get(rules.POWER_LEVELS)), resolved)
        for ids in last:
            self._settle_by_hash(ids, resolved, agreed)
        return resolved

    def _find_create(self, conflicts: Sequence[StateIDs]) -> Event | None:
        agreed = self._agreed([rules.CREATE])
        ids = sorted(agreed.values()) or sorted({state[rules.CREATE] for state in conflicts if rules.CREATE in state})
        return self._pool.fetch_one(ids[0]) if ids else None

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

    def _prefetch(self, full: set[EventID]) -> dict[Key, EventID]:
        """Bring in, at once, whatever the checks of these events will look at; the agreed part of it is returned."""
        events = [self._pool[event_id] for event_id in full]
        agreed = dict(self._agreed({key for event in events for key in _auth_keys(event)}))
        self._pool.fetch([*agreed.values(), *(auth_id for event in events for auth_id in event.auth_events)])
        return agreed

    def _by_power(self, ids: set[EventID]) -> list[EventID]:
        """Reverse topological power ordering: auth events first, then power, time and id decide."""
        return self._after_auth({event_id: self._rank(self._pool[event_id]) for event_id in ids})

    def _after_auth(self, rank: Mapping[EventID, Rank]) -> list[EventID]:
        """By rank, but each after those of them that it cites."""
        ids = rank.keys()
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
        return ordered + sorted(ids - set(ordered), key=rank.__getitem__)

    def _rank(self, event: Event) -> Rank:
        auth = rules.by_key(self._pool.some(event.auth_events))
        create = self._create if self._version.room_id_is_create_hash else auth.get(rules.CREATE)
        levels = Power(self._version, create, auth.get(rules.POWER_LEVELS))
        return -levels.of(event.sender), self._time(event), event.event_id

    def _time(self, event: Event) -> int:
        return event.origin_server_ts if self._version.orders_by_time else 0

    def _by_mainline(self, ids: Iterable[EventID], power_levels: EventID | None) -> list[EventID]:
        """Mainline ordering: the older the power levels an event rests on, the earlier it comes.

        Where time does not say that somebody left after they had joined, what the events cite does.
        """
        place = self._mainline(power_levels)
        events = [self._pool[event_id] for event_id in ids]
        rank = {event.event_id: (self._mainline_place(event, place), self._time(event), event.event_id) for event in events}
        return sorted(rank, key=rank.__getitem__) if self._version.orders_by_time else self._after_auth(rank)

    def _settle_by_hash(self, ids: set[EventID], resolved: dict[Key, EventID], agreed: StateIDs) -> None:
        """Put into `resolved`, for each key, the one with the highest hash of those that are allowed and that no other one follows."""
        events = [self._pool[event_id] for event_id in ids]
        allowed = {event.event_id for event in events if _passes(event, self._state_at_last(event, resolved, agreed))}
        followed: set[EventID] = set()
        stack = list(allowed)
        while stack:
            below = [auth_id for auth_id in self._pool.auth_ids(stack.pop()) if auth_id in ids and auth_id not in followed]
            followed.update(below)
            stack.extend(below)
        for event_id in sorted(allowed - followed):
            resolved[self._pool[event_id].type, self._pool[event_id].state_key or ""] = event_id

    def _state_at_last(self, event: Event, resolved: StateIDs, agreed: StateIDs) -> dict[Key, Event]:
        """What decides about an event that is settled by hash: of others that are, what comes out, and not what it cites."""
        state = self._state_for(event, resolved)
        for key in _auth_keys(event):
            if any(key[0] in kinds for kinds in self._version.settled_by_hash):
                state.pop(key, None)
                outcome = agreed.get(key) or resolved.get(key)
                if outcome is not None:
                    state[key] = self._pool[outcome]
        return state

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
            if self._is_allowed(event, resolved):
                resolved[event.type, event.state_key or ""] = event_id

    def _is_allowed(self, event: Event, resolved: StateIDs) -> bool:
        return _passes(event, self._state_for(event, resolved))

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


def _passes(event: Event, state: rules.State) -> bool:
    try:
        rules.check(event, state)
    except Denied:
        return False
    return True


def _auth_keys(event: Event) -> set[Key]:
    return rules.auth_keys(event.version, event.type, event.sender, event.state_key, event.content)


def _is_power_event(event: Event) -> bool:
    if event.key in (rules.POWER_LEVELS, rules.JOIN_RULES, rules.CREATE) or event.type in event.version.power_types:
        return True
    return event.type == "m.room.member" and event.membership in ("leave", "ban") and event.sender != event.state_key
