"""Filters that clients store.  spec: client-server-api#filtering"""

from dataclasses import dataclass
from typing import Any

from homeserver.accounts.filters import MAX_FILTERS, check
from homeserver.api.client.account_data import own
from homeserver.errors import NotFound, Refused
from homeserver.events.identifiers import UserID
from homeserver.storage import filters
from homeserver.storage.database import Database, Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post


@dataclass(frozen=True)
class Filters:
    """Filters, each under a number."""

    database: Database

    @post("/_matrix/client/v3/user/{user_id}/filter")
    async def add(self, caller: Caller, user_id: UserID, body: dict[str, Any]) -> dict[str, Any]:
        """Store a filter; the same one keeps its number."""
        return {"filter_id": str(await self.database.write(_add, own(caller, user_id), check(body)))}

    @get("/_matrix/client/v3/user/{user_id}/filter/{filter_id}")
    async def read(self, caller: Caller, user_id: UserID, filter_id: str) -> bytes:
        """A filter as it was stored."""
        user_id = own(caller, user_id)
        number = int(filter_id) if filter_id.isascii() and filter_id.isdigit() and len(filter_id) < 10 else 0
        found = await self.database.read(filters.get, user_id, number)
        if found is None:
            raise NotFound("There is no such filter")
        return found


def _add(txn: Transaction, user_id: UserID, definition: bytes) -> int:
    if filters.count(txn, user_id) >= MAX_FILTERS:
        raise Refused(400, "M_TOO_LARGE", f"An account has at most {MAX_FILTERS} filters")
    return filters.add(txn, user_id, definition)
