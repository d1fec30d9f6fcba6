"""Orders of a batch of events that their graph asks for.  Pure; depth decides only where the graph does not."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from homeserver.events.event import Event


def newest_first(batch: Sequence[Event]) -> list[Event]:
    """The events so that each comes before those that it follows; where the graph does not say, the deeper first."""
    here = {event.event_id: event for event in batch}
    followers = dict.fromkeys(here, 0)
    for event in here.values():
        for before in event.prev_events:
            if before in followers:
                followers[before] += 1
    ready = [(-event.depth, event.event_id) for event in here.values() if followers[event.event_id] == 0]
    heapify(ready)
    ordered: list[Event] = []
    while ready:
        event = here[heappop(ready)[1]]
        ordered.append(event)
        for before in event.prev_events:
            if before in followers:
                followers[before] -= 1
                if followers[before] == 0:
                    heappush(ready, (-here[before].depth, before))
    return ordered


def causal(batch: Sequence[Event]) -> list[Event]:
    """The events in an order in which each comes after those that it cites.  Cycles are cut; the rules refuse them."""
    pending = {event.event_id: event for event in batch}
    ordered: list[Event] = []
    while pending:
        stack = [next(iter(pending.values()))]
        path: set[str] = set()
        while stack:
            event = stack[-1]
            path.add(event.event_id)
            ahead = [pending[auth] for auth in event.auth_events if auth in pending and auth not in path]
            if ahead:
                stack.append(ahead[0])
            else:
                stack.pop()
                if pending.pop(event.event_id, None) is not None:
                    ordered.append(event)
    return ordered
