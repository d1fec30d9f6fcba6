"""What is done about links from time to time: what is over is forgotten, and the operator hears of a key file that does not fit."""

from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.identity import BadKeyFile
from homeserver.membership.links.custody import Custody
from homeserver.periodic import Periodic
from homeserver.storage import join_links
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction

HOUR = 3600
LONGEST_WAIT_MS = 30 * 24 * HOUR * 1000
AT_ONCE = 200

log = Logger()


@dataclass
class Upkeep:
    """Looks at the key file at once, and after the rest every hour."""

    database: Database
    clock: Clock
    custody: Custody

    def __post_init__(self) -> None:
        self._hourly = Periodic(self.clock, HOUR, self.tidy)

    def start(self) -> None:
        """Begin."""
        Deferred.fromCoroutine(self.examine()).addErrback(lambda failure: log.failure("The key file was not looked at", failure))
        self._hourly.start()

    async def stop(self) -> None:
        """End."""
        await self._hourly.stop()

    async def tidy(self) -> None:
        """Forget links that have expired, and who waits for longer than 30 days."""
        now = self.clock.now()
        while len(await self.database.write(_expire, now)) == AT_ONCE:
            pass
        await self.database.write(join_links.forget, now - LONGEST_WAIT_MS)

    async def examine(self) -> None:
        """Tell the operator, if what is in custody cannot be opened."""
        link = await self.database.read(join_links.in_custody)
        try:
            if link is not None and link.custody is not None:
                self.custody.open(link.link_id, link.custody)
        except BadKeyFile as error:
            log.error("Links with custody give no keys: {error}", error=str(error))


def _expire(txn: Transaction, now: int) -> list[str]:
    ended = join_links.ended(txn, now, AT_ONCE)
    for link_id in ended:
        join_links.remove(txn, link_id)
    return ended
