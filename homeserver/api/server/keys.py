"""The keys of this server, and those of others as we know them.  Signs nothing but key documents.
spec: server-server-api#retrieving-server-keys"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from homeserver.clock import Clock
from homeserver.errors import InvalidParam
from homeserver.events import canonical
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName
from homeserver.federation import key_documents
from homeserver.federation.authentication import Admission
from homeserver.federation.deferring import every
from homeserver.federation.keyring import Keyring
from homeserver.identity import Identity
from homeserver.web.routes import get, post

MOST_SERVERS = 100  # in one question


class Criteria(msgspec.Struct):
    """Until when a key is to be good, at least."""

    minimum_valid_until_ts: int | None = None


class Question(msgspec.Struct):
    """Server -> key id -> criteria; no key ids: all keys."""

    server_keys: dict[str, dict[str, Criteria]]


@dataclass
class OwnDocument:
    """Our document, made anew when half of its time is over, so that nobody gets one that ends soon."""

    identity: Identity
    clock: Clock
    validity_ms: int
    _made: bytes = b""
    _remake_ms: int = 0

    def raw(self) -> bytes:
        """The signed document as canonical JSON."""
        now = self.clock.now()
        if now >= self._remake_ms:
            self._made = canonical.encode(key_documents.publish(self.identity, now + self.validity_ms), strict=False)
            self._remake_ms = now + self.validity_ms // 2
        return self._made


@dataclass(frozen=True)
class Keys:
    """Key server and notary."""

    identity: Identity
    clock: Clock
    own: OwnDocument
    keyring: Keyring
    admission: Admission = field(default_factory=lambda: Admission.of(None, ()))

    @get("/_matrix/key/v2/server", "/_matrix/key/v2/server/{key_id}")
    async def server(self, key_id: str = "") -> bytes:
        """Our keys.  Asking for a single one is an old way that gives all."""
        return self.own.raw()

    @get("/_matrix/key/v2/query/{server_name}", limit="federation")
    async def one(self, server_name: ServerName, query: Criteria) -> dict[str, Any]:
        """The keys of another server, signed by us as well."""
        return {"server_keys": await self._documents({server_name: self._ts([query])})}

    @post("/_matrix/key/v2/query", limit="federation")
    async def many(self, body: Question) -> dict[str, Any]:
        """The same for several servers."""
        if len(body.server_keys) > MOST_SERVERS:
            raise InvalidParam(f"At most {MOST_SERVERS} servers may be asked for at once")
        try:
            wanted = {ServerName.parse(server): self._ts(keys.values()) for server, keys in body.server_keys.items()}
        except Malformed as error:
            raise InvalidParam(str(error)) from None
        return {"server_keys": await self._documents(wanted)}

    def _ts(self, criteria: Iterable[Criteria]) -> int:
        return max((each.minimum_valid_until_ts or self.clock.now() for each in criteria), default=self.clock.now())

    async def _documents(self, wanted: dict[ServerName, int]) -> list[dict[str, Any]]:
        found = await every([self._of(server, at_ms) for server, at_ms in wanted.items()])
        return [document for documents in found if isinstance(documents, list) for document in documents]

    async def _of(self, server: ServerName, at_ms: int) -> list[dict[str, Any]]:
        if server == self.identity.name:
            return [canonical.decode(self.own.raw(), strict=False)]
        if not self.admission.permits(server):
            return []
        documents = await self.keyring.fresh_documents(server, at_ms)
        return [self.identity.sign_json(canonical.decode(document, strict=False)) for document in documents]
