"""Which rooms a request is about: its lists, their windows, its subscriptions, and what it wants of each room."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from homeserver.storage import windows
from homeserver.storage.transactions import Transaction
from homeserver.storage.windows import Listed
from homeserver.sync.sliding import filtering
from homeserver.sync.sliding.connection import State
from homeserver.sync.sliding.filtering import Looker
from homeserver.sync.sliding.request import MAX_TIMELINE, SlidingBody, SlidingList, Subscription
from homeserver.sync.sliding.wanted import Wanted

GONE = ("leave", "ban")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A room that a request is about, what it wants of it, and the lists in whose windows it is."""

    room: Listed
    wanted: Wanted
    limit: int
    lists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What a request is about.  `counts`: how many rooms each list has; `windows`: those of them that it shows."""

    counts: Mapping[str, int]
    windows: Mapping[str, Sequence[str]]
    subscribed: Sequence[str]
    rooms: Mapping[str, Chosen]


def known(state: State, body: SlidingBody) -> set[str]:
    """Rooms to look at even if the user left them: those that they are to hear the end of, and those that they ask for."""
    return {room for room, told in state.rooms.items() if told.membership not in GONE} | set(body.room_subscriptions)


def choose(txn: Transaction, looker: Looker, rooms: Sequence[Listed], body: SlidingBody, state: State) -> View:
    """What the request is about, of the rooms of the user."""
    ordered = sorted(rooms, key=lambda room: (-room.active, room.room_id))
    shown = [room for room in ordered if not room.hidden or _unfinished(room, state)]
    by_id = {room.room_id: room for room in rooms}
    counts: dict[str, int] = {}
    windows: dict[str, Sequence[str]] = {}
    chosen: dict[str, Chosen] = {}
    for name, wish in body.lists.items():
        found = filtering.passing(txn, looker, shown, wish.filters)
        counts[name] = len(found)
        window = _window(found, wish)
        windows[name] = [room.room_id for room in window]
        _add(chosen, window, looker.user, wish, (name,))
    subscribed = [room for room in body.room_subscriptions if room in by_id]
    for room_id in subscribed:
        _add(chosen, [by_id[room_id]], looker.user, body.room_subscriptions[room_id], ())
    return View(counts, windows, subscribed, chosen)


def refreshed(txn: Transaction, user: str, view: View) -> View:
    """The same, with what the rooms that the user is in are like now."""
    inside = [room for room, chosen in view.rooms.items() if chosen.room.membership == "join"]
    now = {room.room_id: room for room in windows.joined(txn, user, inside)} if inside else {}
    return replace(view, rooms={room: replace(chosen, room=now.get(room, chosen.room)) for room, chosen in view.rooms.items()})


def _unfinished(room: Listed, state: State) -> bool:
    told = state.rooms.get(room.room_id)
    return told is not None and told.membership not in GONE


def _window(rooms: Sequence[Listed], wish: SlidingList) -> Sequence[Listed]:
    if wish.ranges is None or wish.slow_get_all_rooms:
        return rooms
    places = {place for first, last in wish.ranges for place in range(first, min(last + 1, len(rooms)))}
    return [rooms[place] for place in sorted(places)]


def _add(chosen: dict[str, Chosen], rooms: Iterable[Listed], user: str, wish: SlidingList | Subscription, lists: tuple[str, ...]) -> None:
    wanted, limit = Wanted.of(wish.required_state, user), min(wish.timeline_limit, MAX_TIMELINE)
    for room in rooms:
        other = chosen.get(room.room_id)
        if other is None:
            chosen[room.room_id] = Chosen(room, wanted, limit, lists)
        else:
            # Most lists want the same: then the wish stays one object.
            both = wanted if wanted == other.wanted else other.wanted | wanted
            chosen[room.room_id] = Chosen(room, both, max(limit, other.limit), other.lists + lists)
