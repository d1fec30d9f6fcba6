"""Walks over the graph of auth events: what some states rest on and others do not, and what lies between conflicts.

Knows only who names whom.  spec: rooms/v2#definitions, rooms/v12#definitions
"""

from collections.abc import Callable, Collection, Mapping, Sequence, Set

from homeserver.events.event import Key
from homeserver.events.identifiers import EventID
from homeserver.events.loading import Pool

# The values all states have under these keys, for those that have one.
Agreed = Callable[[Collection[Key]], Mapping[Key, EventID]]
# What these events cite as auth events, of those that are here.
Cited = Callable[[Collection[EventID]], Mapping[EventID, Sequence[EventID]]]
# Those of these events that an event is, or rests on, that all states have.
Supported = Callable[[Set[EventID]], Set[EventID]]


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


def supported(asked: Set[EventID], agreed: Mapping[EventID, Sequence[EventID]], cited: Cited) -> set[EventID]:
    """Those of `asked` that an agreed event is, or rests on.  `agreed`: all that states agree on, with what it cites.

    Walks down level by level until all are found: what is asked about is mostly cited by somebody who is in the room.
    """
    found = {event_id for event_id in asked if event_id in agreed}
    seen = set(agreed)
    level: Mapping[EventID, Sequence[EventID]] = agreed
    while level and len(found) < len(asked):
        below = {auth_id for ids in level.values() for auth_id in ids} - seen
        found |= below & asked
        seen |= below
        level = cited(below) if len(found) < len(asked) else {}
    return found
