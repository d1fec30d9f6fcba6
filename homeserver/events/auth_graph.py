"""Walks over the graph of auth events: what some states rest on and others do not, and what lies between conflicts.

Knows only who names whom.  spec: rooms/v2#definitions, rooms/v12#definitions
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set

from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID
from homeserver.events.loading import Pool

# The values all states have under these keys, for those that have one.
Agreed = Callable[[Collection[Key]], Mapping[Key, EventID]]
# The state events that name these as auth events.
CitedBy = Callable[[Collection[EventID]], Mapping[EventID, Collection[EventID]]]


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


def unsupported(candidates: Iterable[EventID], pool: Pool, agreed: Agreed, cited_by: CitedBy) -> set[EventID]:
    """Those of `candidates` which no agreed event rests on.

    Climbs from each towards what was built on it and stops at the first agreed event: in a room of many thousand members that
    is a few steps, where walking down from all that is agreed would read the whole room.
    """
    resting: dict[EventID, bool] = {}
    for candidate in candidates:
        if candidate not in resting:
            climbed, found = _climb(candidate, pool, agreed, cited_by, resting)
            resting.update(dict.fromkeys(climbed, False) if not found else {candidate: True})
    return {candidate for candidate in candidates if not resting[candidate]}


def _climb(
    start: EventID, pool: Pool, agreed: Agreed, cited_by: CitedBy, resting: Mapping[EventID, bool]
) -> tuple[set[EventID], bool]:
    """(all that was passed, whether an agreed event or one below it was met)."""
    seen: set[EventID] = set()
    level = {start}
    while level:
        if any(resting.get(event_id) for event_id in level):
            return seen, True
        level = {event_id for event_id in level if event_id not in resting}
        pool.fetch(level)
        events = pool.some(level)
        if _any_agreed(events, agreed):
            return seen, True
        seen |= level
        above = cited_by(level)
        level = {event_id for ids in above.values() for event_id in ids} - seen
    return seen, False


def _any_agreed(events: Collection[Event], agreed: Agreed) -> bool:
    by_key = {key: event.event_id for event in events if (key := event.key) is not None}
    found = agreed(by_key.keys())
    return any(found.get(key) == event.event_id for event in events if (key := event.key) is not None)
