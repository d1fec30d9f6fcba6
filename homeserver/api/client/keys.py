"""Keys of devices and users.  spec: client-server-api#end-to-end-encryption"""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from homeserver.accounts.gate import Gate
from homeserver.errors import BadJSON, Forbidden
from homeserver.keys import changes, signing_keys, uploads
from homeserver.keys.claims import Claims
from homeserver.keys.dehydration import Dehydration
from homeserver.keys.queries import Queries
from homeserver.keys.signatures import Signatures
from homeserver.keys.signing_keys import ProofNeeded, SigningKeys
from homeserver.keys.uploads import Uploads
from homeserver.storage.database import Database
from homeserver.sync.token import SyncToken
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post, put
from homeserver.web.types import Request

MAX_BODY = 2 * 1024 * 1024
SHORTEST_WAIT_MS, LONGEST_WAIT_MS = 1_000, 20_000

DEHYDRATED = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"


class Upload(msgspec.Struct, rename={"old_fallback_keys": "org.matrix.msc2732.fallback_keys"}):
    """Keys of the device that asks."""

    device_keys: dict[str, Any] | None = None
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None
    old_fallback_keys: dict[str, Any] | None = None


class Query(msgspec.Struct):
    """Users, each with the devices wanted; none means all."""

    device_keys: dict[str, list[str]]
    timeout: int = 10_000


class Claim(msgspec.Struct):
    """user -> device -> algorithm."""

    one_time_keys: dict[str, dict[str, str]]
    timeout: int = 10_000


class Since(msgspec.Struct, rename={"since": "from"}):
    """From one sync token to another."""

    since: str
    to: str | None = None


def device_of(caller: Caller) -> str:
    """The device that asks; raises `Forbidden` for a token without one."""
    if caller.device_id is None:
        raise Forbidden("This needs a device, and your access token has none")
    return caller.device_id


def _fragment(value: Any) -> Any:
    """Stored JSON goes into the answer as it is."""
    return orjson.Fragment(value) if isinstance(value, bytes) else value


def _seconds(timeout_ms: int) -> float:
    return min(max(timeout_ms, SHORTEST_WAIT_MS), LONGEST_WAIT_MS) / 1000


@dataclass(frozen=True)
class DeviceKeys:
    """Upload, query and claim."""

    database: Database
    uploads: Uploads
    queries: Queries
    claims: Claims

    @post("/_matrix/client/v3/keys/upload", max_body=MAX_BODY, guests=True)
    async def upload(self, caller: Caller, body: Upload) -> dict[str, Any]:
        """Publish keys of the device that asks."""
        fallback = body.fallback_keys or body.old_fallback_keys or {}
        upload = uploads.read(caller.user_id, device_of(caller), body.device_keys, body.one_time_keys or {}, fallback)
        return {"one_time_key_counts": await self.uploads.publish(upload)}

    @post("/_matrix/client/v3/keys/query", limit="key_query", max_body=MAX_BODY, guests=True)
    async def query(self, caller: Caller, body: Query) -> dict[str, Any]:
        """The keys of users, here and elsewhere."""
        found, failures = await self.queries.query(caller.user_id, body.device_keys, _seconds(body.timeout))
        return {
            "device_keys": {user: {name: _fragment(keys) for name, keys in shown.items()} for user, shown in found.device_keys.items()},
            "master_keys": found.master_keys,
            "self_signing_keys": found.self_signing_keys,
            "user_signing_keys": found.user_signing_keys,
            "failures": failures,
        }

    @post("/_matrix/client/v3/keys/claim", limit="key_query", max_body=MAX_BODY, guests=True)
    async def claim(self, caller: Caller, body: Claim) -> dict[str, Any]:
        """One one-time key of each device."""
        claimed, failures = await self.claims.claim(body.one_time_keys, _seconds(body.timeout))
        spliced = {
            user: {device: {name: _fragment(key) for name, key in keys.items()} for device, keys in devices.items()}
            for user, devices in claimed.items()
        }
        return {"one_time_keys": spliced, "failures": failures}

    @get("/_matrix/client/v3/keys/changes")
    async def changes(self, caller: Caller, query: Since) -> dict[str, Any]:
        """Whose keys changed since a sync token.  What changed after `to` is included: to ask once too often does no harm."""
        since = SyncToken.parse(query.since).seen
        if query.to is not None:
            SyncToken.parse(query.to)
        await self.database.catch_up()
        found = await self.database.read(changes.device_lists, caller.user_id, since, self.database.now())
        return found.encode()


@dataclass(frozen=True)
class CrossSigning:
    """Cross-signing keys, and signatures made with them."""

    signing_keys: SigningKeys
    signatures: Signatures
    gate: Gate

    @post("/_matrix/client/v3/keys/device_signing/upload", "/_matrix/client/unstable/keys/device_signing/upload")
    async def upload(self, caller: Caller, request: Request, body: dict[str, Any]) -> None:
        """Publish cross-signing keys.  To replace some needs proof of who asks."""
        keys = signing_keys.read(caller.user_id, body)
        try:
            await self.signing_keys.replace(caller.user_id, keys)
        except ProofNeeded:
            passed = await self.gate.account(caller, request, body)
            await self.signing_keys.replace(caller.user_id, keys, passed.close)

    @post("/_matrix/client/v3/keys/signatures/upload", "/_matrix/client/unstable/keys/signatures/upload", max_body=MAX_BODY)
    async def sign(self, caller: Caller, body: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
        """Add signatures to keys; the bad ones are named in the answer."""
        return {"failures": await self.signatures.add(caller.user_id, body)}


@dataclass(frozen=True)
class DehydratedDevices:
    """A device that receives messages while its user is logged out.  MSC3814"""

    dehydration: Dehydration

    @put(DEHYDRATED, max_body=MAX_BODY)
    async def store(self, caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
        """Make one, in place of the one there is."""
        return {"device_id": await self.dehydration.put(caller.user_id, body)}

    @get(DEHYDRATED)
    async def describe(self, caller: Caller) -> dict[str, Any]:
        """What is needed to bring it back to life."""
        return await self.dehydration.get(caller.user_id)

    @delete(DEHYDRATED)
    async def drop(self, caller: Caller) -> dict[str, Any]:
        """Remove it, with its keys and messages."""
        return {"device_id": await self.dehydration.delete(caller.user_id)}

    @post(DEHYDRATED + "/{device_id}/events")
    async def events(self, caller: Caller, device_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """The messages that it received, page by page until a page is empty."""
        batch = body.get("next_batch", "0")
        if not isinstance(batch, str) or not (batch.isascii() and batch.isdecimal() and len(batch) < 19):
            raise BadJSON("next_batch: expected the one of the page before")
        messages, last = await self.dehydration.messages(caller.user_id, device_id, int(batch))
        return {"events": messages, "next_batch": str(last)}
