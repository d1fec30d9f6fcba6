"""Messages that devices have got are deleted a moment later, those of many devices in one act.  Until then they are only passed over."""

from collections import OrderedDict

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.storage import to_device
from homeserver.storage.database import Database

SECONDS = 2.0
MOST_AT_ONCE = 500
MOST_REMEMBERED = 20_000

log = Logger()


class Acknowledged:
    """What devices said to have, by `(user, device)`.  Lost with the process: then it is said, and deleted, again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._upto: OrderedDict[to_device.Device, int] = OrderedDict()
        self._pending: dict[to_device.Device, int] = {}
        self._scheduled = False

    def upto(self, user_id: str, device_id: str) -> int:
        """The number of the last message that the device is known to have."""
        return self._upto.get((user_id, device_id), 0)

    def note(self, user_id: str, device_id: str, inbox: int) -> None:
        """The device came back with a token: it has the messages that went with it."""
        device = user_id, device_id
        if self._upto.get(device, 0) >= inbox:
            return
        self._upto[device] = self._pending[device] = inbox
        self._upto.move_to_end(device)
        while len(self._upto) > MOST_REMEMBERED:
            self._upto.popitem(last=False)
        if not self._scheduled:
            self._scheduled = True
            self._clock.later(SECONDS, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        pending, self._pending = self._pending, {}
        devices = list(pending.items())
        for start in range(0, len(devices), MOST_AT_ONCE):
            batch = dict(devices[start : start + MOST_AT_ONCE])
            work: Deferred[None] = self._database.write(to_device.acknowledge_all, batch)
            work.addErrback(lambda failure: log.failure("Messages that were delivered could not be deleted", failure))
