"""How a user is, from what their devices say and when.  Pure: the time is an argument.

spec: client-server-api#presence, MSC3026 for `busy`
"""

from dataclasses import dataclass, field
from typing import Any

ONLINE, UNAVAILABLE, OFFLINE, BUSY = "online", "unavailable", "offline", "busy"
STATES = frozenset({ONLINE, UNAVAILABLE, OFFLINE, BUSY})
_RANK = {OFFLINE: 0, UNAVAILABLE: 1, ONLINE: 2, BUSY: 3}

IDLE_MS = 5 * 60_000
ACTIVE_MS = 60_000
LEFT_MS = 30_000  # after the last poll of a device ended
MAX_STATUS = 1024
TOLD_MS = 15_000  # what changes by less need not be told to other processes


@dataclass(frozen=True, slots=True)
class State:
    """What others see of a user."""

    presence: str = OFFLINE
    status_msg: str | None = None
    last_active: int | None = None
    currently_active: bool = False

    def differs(self, other: "State") -> bool:
        """Whether others have to hear of the difference.  That somebody is still active is none."""
        return (self.presence, self.status_msg, self.currently_active) != (other.presence, other.status_msg, other.currently_active)

    def content(self, now: int) -> dict[str, Any]:
        """The state as the content of `m.presence`."""
        shown: dict[str, Any] = {"presence": self.presence}
        if self.last_active is not None:
            shown["last_active_ago"] = max(0, now - self.last_active)
        if self.presence in (ONLINE, BUSY):
            shown["currently_active"] = self.currently_active
        if self.status_msg is not None:
            shown["status_msg"] = self.status_msg
        return shown


UNKNOWN = State()


@dataclass(slots=True)
class Device:
    """What one device says, and until when that holds without a further word."""

    presence: str
    until: int


@dataclass(slots=True)
class Local:
    """A user of this server."""

    devices: dict[str, Device] = field(default_factory=dict)
    status_msg: str | None = None
    last_active: int | None = None
    here: bool = True
    """Whether this process heard of them last."""
    told: object = None
    """The gist of what other processes were told."""

    def gist(self, now: int) -> object:
        """What others have to know; polls and messages that follow each other closely leave it as it is."""
        devices = {device: (said.presence, said.until // TOLD_MS) for device, said in self.devices.items() if said.until > now}
        return devices, self.status_msg, None if self.last_active is None else self.last_active // TOLD_MS

    def state(self, now: int) -> State:
        """How the user is now."""
        for gone in [device for device, said in self.devices.items() if said.until <= now]:
            del self.devices[gone]
        best = max((said.presence for said in self.devices.values()), key=_RANK.__getitem__, default=OFFLINE)
        idle = self.last_active is None or now - self.last_active >= IDLE_MS
        if best == ONLINE and idle:
            best = UNAVAILABLE
        active = best in (ONLINE, BUSY) and self.last_active is not None and now - self.last_active < ACTIVE_MS
        return State(best, self.status_msg, self.last_active, active)
