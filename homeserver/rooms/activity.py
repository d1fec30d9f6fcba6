"""When something happened in a room, as one number that can be compared between rooms and processes.  Knows no table.

Positions order one process's acts only, and the times in events are what their senders say.
"""

from homeserver.clock import Clock

# What brings a room to the top of a list of rooms.  spec: MSC4186, bump_stamp
BUMPING = frozenset(
    {
        "m.room.create",
        "m.room.message",
        "m.room.encrypted",
        "m.sticker",
        "m.call.invite",
        "m.poll.start",
        "org.matrix.msc3381.poll.start",
        "m.beacon_info",
        "org.matrix.msc3672.beacon_info",
    }
)


def bumps(event_type: str) -> bool:
    """Whether an event of this type is something that people want to see."""
    return event_type in BUMPING


class Stamps:
    """The time in microseconds, but never the same twice in a process."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._last = clock, 0

    def next(self) -> int:
        """A stamp for what happens now."""
        self._last = max(self._last + 1, 1000 * self._clock.now())
        return self._last
