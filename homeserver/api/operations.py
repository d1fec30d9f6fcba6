"""Is it alive, and how is it?  For load balancers and Prometheus."""

from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.errors import Refused
from homeserver.storage.database import Database, Transaction
from homeserver.web.metrics import Metrics
from homeserver.web.routes import get
from homeserver.web.types import Reply

PATIENCE_SECONDS = 5


def _answer(txn: Transaction) -> int:
    return int(txn.value("SELECT 1") or 0)


@dataclass(frozen=True)
class Operations:
    """Health and metrics."""

    database: Database
    clock: Clock
    metrics: Metrics

    @get("/health")
    async def health(self) -> dict[str, str]:
        """200 when requests can be served: the database reads and writes."""
        try:
            await self.clock.timeout(self.database.read(_answer), PATIENCE_SECONDS)
            await self.clock.timeout(self.database.write(_answer), PATIENCE_SECONDS)
        except Exception as error:
            raise Refused(503, "M_UNKNOWN", f"The database does not answer: {type(error).__name__}") from error
        return {"status": "ok"}

    @get("/_homeserver/metrics")
    async def numbers(self) -> Reply:
        """The metrics, on listeners that offer them."""
        return Reply(200, self.metrics.text(), {"content-type": "text/plain; version=0.0.4; charset=utf-8"})
