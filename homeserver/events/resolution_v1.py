"""The first state resolution algorithm, for rooms of version 1 only.  spec: rooms/v1#state-resolution"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha1

from homeserver.events import rules
from homeserver.events.auth_graph import Agreed
from homeserver.events.errors import Denied
from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID
from homeserver.events.loading import Pool, Rejected

# The types that decide about others, in the order they are resolved in; what is left over comes after them.
_PASSES = ("m.room.power_levels", "m.room.join_rules", "m.room.member")


def resolve(
    conflicts: Sequence[Mapping[Key, EventID]], agreed: Agreed, pool: Pool, rejected: Rejected
) -> dict[Key, EventID]:
    """What the keys resolve to on which the states differ.  One that only some of them have is no conflict."""
    choices: dict[Key, set[EventID]] = {}
    for state in conflicts:
        for key, event_id in state.items():
            choices.setdefault(key, set()).add(event_id)
    resolved = {key: next(iter(ids)) for key, ids in choices.items() if len(ids) == 1}
    pool.fetch(event_id for ids in choices.values() if len(ids) > 1 for event_id in ids)
    disputed = {key: _candidates(ids, pool, rejected) for key, ids in choices.items() if len(ids) > 1}
    known = _known(disputed, resolved, agreed, pool)
    for kind in _PASSES:
        winners = {key: _last_allowed(events, known) for key, events in disputed.items() if key[0] == kind and events}
        known.update(winners)
        resolved.update({key: event.event_id for key, event in winners.items()})
    for key, events in disputed.items():
        if key[0] not in _PASSES and events:
            resolved[key] = _best_allowed(events, known).event_id
    return resolved


def _candidates(ids: Iterable[EventID], pool: Pool, rejected: Rejected) -> list[Event]:
    """The events in ascending order of depth, for equal depths in descending order of SHA-1."""
    events = [event for event in pool.some(ids) if not rejected(event.event_id)] or pool.some(ids)
    events.sort(key=lambda event: (-event.depth, sha1(event.event_id.encode()).digest()))
    return events[::-1]


def _known(
    disputed: Mapping[Key, list[Event]], resolved: Mapping[Key, EventID], agreed: Agreed, pool: Pool
) -> dict[Key, Event]:
    """The undisputed state that the checks of the disputed events look at."""
    keys: set[Key] = set()
    for events in disputed.values():
        for event in events:
            keys |= rules.auth_keys(event.version, event.type, event.sender, event.state_key, event.content)
    wanted = {**agreed(keys), **{key: resolved[key] for key in keys if key in resolved}}
    pool.fetch(wanted.values())
    found = {key: pool.get(event_id) for key, event_id in wanted.items()}
    return {key: event for key, event in found.items() if event is not None}


def _last_allowed(events: Sequence[Event], known: Mapping[Key, Event]) -> Event:
    """Go up from the first event as long as each is allowed on top of the one before."""
    state = dict(known)
    winner = events[0]
    for event in events[1:]:
        state[winner.type, winner.state_key or ""] = winner
        if not _is_allowed(event, state):
            break
        winner = event
    return winner


def _best_allowed(events: Sequence[Event], known: Mapping[Key, Event]) -> Event:
    """The highest event that is allowed; the lowest of all when none is."""
    return next((event for event in reversed(events) if _is_allowed(event, known)), events[0])


def _is_allowed(event: Event, state: Mapping[Key, Event]) -> bool:
    try:
        rules.check(event, state)
    except Denied:
        return False
    return True
