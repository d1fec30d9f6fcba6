"""The events a resolution works on, loaded in batches and each only once.  Knows nothing of where they come from."""

from collections.abc import Callable, Iterable, Mapping

from homeserver.events.event import Event
from homeserver.events.identifiers import EventID

Load = Callable[[Iterable[EventID]], Mapping[EventID, Event]]
Rejected = Callable[[EventID], bool]


class Pool:
    """Events by id; what `load` does not have is remembered as missing."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._events: dict[EventID, Event | None] = {}

    def fetch(self, ids: Iterable[EventID]) -> None:
        """Bring in those of `ids` that were never asked for, in one load."""
        wanted = {event_id for event_id in ids if event_id not in self._events}
        if wanted:
            found = self._load(wanted)
            for event_id in wanted:
                self._events[event_id] = found.get(event_id)

    def fetch_one(self, event_id: EventID) -> Event | None:
        """One event, loaded if need be."""
        if event_id not in self._events:
            self.fetch((event_id,))
        return self._events[event_id]

    def get(self, event_id: EventID) -> Event | None:
        """One event that was fetched before."""
        return self._events.get(event_id)

    def __getitem__(self, event_id: EventID) -> Event:
        event = self._events[event_id]
        if event is None:
            raise KeyError(event_id)
        return event

    def some(self, ids: Iterable[EventID]) -> list[Event]:
        """Those of `ids` that were fetched and exist."""
        return [event for event_id in ids if (event := self._events.get(event_id)) is not None]

    def auth_ids(self, event_id: EventID) -> tuple[EventID, ...]:
        """The auth events a fetched event names; none for a missing one."""
        event = self._events.get(event_id)
        return () if event is None else event.auth_events
