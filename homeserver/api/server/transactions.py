"""What other servers send by themselves.  spec: server-server-api#transactions"""

from dataclasses import dataclass

from homeserver.federation.inbox import Inbox
from homeserver.web.callers import Origin
from homeserver.web.routes import put


@dataclass(frozen=True)
class Transactions:
    """The way in.  `max_body`: bytes of a transaction."""

    inbox: Inbox
    max_body: int

    @put("/_matrix/federation/v1/send/{txn_id}", limit="transactions", max_body_of="max_body")
    async def send(self, origin: Origin, txn_id: str, body: bytes) -> bytes:
        """Take events and EDUs; the answer says of each event whether something is wrong with it."""
        return await self.inbox.receive(origin, txn_id, body)
