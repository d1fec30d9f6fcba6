"""What other servers send by themselves.  spec: server-server-api#transactions"""

from dataclasses import dataclass

from homeserver.errors import TooLarge
from homeserver.federation.inbox import Inbox
from homeserver.web.callers import Origin
from homeserver.web.routes import put

LARGEST = 64 * 1024 * 1024  # what the operator may allow at most


@dataclass(frozen=True)
class Transactions:
    """The way in.  `max_body`: bytes of a transaction."""

    inbox: Inbox
    max_body: int

    @put("/_matrix/federation/v1/send/{txn_id}", limit="federation", max_body=LARGEST)
    async def send(self, origin: Origin, txn_id: str, body: bytes) -> bytes:
        """Take events and EDUs; the answer says of each event whether something is wrong with it."""
        if len(body) > self.max_body:
            raise TooLarge(f"A transaction may have {self.max_body} bytes")
        return await self.inbox.receive(origin, txn_id, body)
