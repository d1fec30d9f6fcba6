"""Devices that ask for room keys and approve: reference clients that seal with PyNaCl, and remember what they were told live."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from nacl.encoding import Base64Encoder
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey

from homeserver.events import canonical
from homeserver.events.vendor import CLIENT
from tests.world import Client, Home, good

ROOM_KEY = b"the key of the room, which no server may ever see"


@dataclass
class Device:
    """A client with a curve25519 key, uploaded as its device key."""

    client: Client
    private: PrivateKey
    room_key: bytes | None = None
    since: str | None = None
    told: list[dict[str, Any]] = field(default_factory=list)
    known: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def public(self) -> str:
        """The public key, as it stands in `/keys/query`."""
        return _text(self.private.public_key.encode())

    async def asks(self, room: str) -> str:
        """Ask for the key of a room; the id of the request."""
        answer = await self.client.post(f"{CLIENT}/rooms/{room}/key_requests", {"public_key": self.public})
        return str(good(answer)["request_id"])

    async def pending(self, room: str) -> list[dict[str, Any]]:
        """What waits in a room for a member's approval."""
        return list(good(await self.client.get(f"{CLIENT}/rooms/{room}/key_requests"))["requests"])

    async def approves(self, request: dict[str, Any]) -> int:
        """Seal the room's key for the device that asks, if it is the one that its user has published; the status of the answer."""
        assert self.room_key is not None
        user, asking = request["user_id"], request["device_id"]
        if (user, asking) not in self.known:
            found = good(await self.client.post("/keys/query", {"device_keys": {user: []}}))["device_keys"]
            self.known[user, asking] = found[user][asking]["keys"][f"curve25519:{asking}"]
        published = self.known[user, asking]
        assert published == request["public_key"]
        box = SealedBox(PublicKey(published + "=", Base64Encoder))
        key = {"algorithm": "sealed_box", "ciphertext": box.encrypt(self.room_key, Base64Encoder).decode()}
        path = f"{CLIENT}/rooms/{request['room_id']}/key_requests/{request['request_id']}/approval"
        return (await self.client.put(path, {"key": key})).status

    async def fetches(self) -> list[dict[str, Any]]:
        """The persistent track: one's own requests, and the keys in those that were approved."""
        own = list(good(await self.client.get(f"{CLIENT}/key_requests"))["requests"])
        for request in own:
            self._open(request.get("key"))
        return own

    async def finishes(self, room: str, request_id: str) -> None:
        """The key is saved: the request goes."""
        assert self.room_key is not None
        good(await self.client.delete(f"{CLIENT}/rooms/{room}/key_requests/{request_id}"))

    async def comes_online(self) -> None:
        """Begin to follow what happens; nothing is told of what was before."""
        self.since = good(await self.client.get("/sync"))["next_batch"]

    async def follows(self) -> list[dict[str, Any]]:
        """The fast track: what was told live since the last time."""
        answer = good(await self.client.get("/sync", since=self.since, timeout=0))
        self.since = answer["next_batch"]
        told = [one for one in answer.get("to_device", {}).get("events", ()) if one["type"].startswith("org.homeserver.room_key")]
        for one in told:
            self._open(one["content"].get("key"))
        self.told += told
        return told

    def _open(self, key: dict[str, str] | None) -> None:
        if key is not None:
            self.room_key = SealedBox(self.private).decrypt(key["ciphertext"], Base64Encoder)


async def device(home: Home, localpart: str, device_id: str) -> Device:
    """A device of a user, with its keys uploaded."""
    client, private = await home.user(localpart, device_id), PrivateKey.generate()
    made = Device(client, private)
    identity = SigningKey.generate()
    keys: dict[str, Any] = {
        "user_id": client.user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": {f"curve25519:{device_id}": made.public, f"ed25519:{device_id}": _text(identity.verify_key.encode())},
    }
    signature = _text(identity.sign(canonical.encode(keys)).signature)
    keys["signatures"] = {client.user_id: {f"ed25519:{device_id}": signature}}
    good(await client.post("/keys/upload", {"device_keys": keys}))
    return made


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
