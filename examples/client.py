"""A device of a user, as small as can be: requests by urllib, keys by PyNaCl.  What the examples share."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from nacl.exceptions import BadSignatureError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey, VerifyKey

VENDOR = "/_matrix/client/unstable/org.homeserver"


class Refused(Exception):
    """The server says no: its status and the error of its answer."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        super().__init__(f"{status} {answer.get('errcode')}: {answer.get('error')}")
        self.status = status


@dataclass
class Device:
    """A device that is logged in, has uploaded its keys, and follows `/sync`."""

    url: str
    user_id: str = ""
    device_id: str = ""
    token: str = ""
    since: str = ""
    signing: SigningKey = field(default_factory=SigningKey.generate)
    private: PrivateKey = field(default_factory=PrivateKey.generate)
    """Stays on the device: what is sealed for it opens with this."""
    sent: int = 0

    @classmethod
    def log_in(cls, url: str, name: str, password: str) -> "Device":
        """A new device."""
        self = cls(url.rstrip("/"))
        who = {"type": "m.id.user", "user": name}
        answer = self.ask("POST", "/login", {"type": "m.login.password", "identifier": who, "password": password})
        self.user_id, self.device_id, self.token = answer["user_id"], answer["device_id"], answer["access_token"]
        self._upload_keys()
        self.since = self.ask("GET", "/sync")["next_batch"]
        return self

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of an answer; raises `Refused`.  Paths that do not begin with /_ are below /_matrix/client/v3."""
        where = quote(path if path.startswith("/_") else "/_matrix/client/v3" + path, safe="/:!@$")
        request = Request(f"{self.url}{where}?{urlencode(query)}", None if body is None else json.dumps(body).encode(), method=method)
        request.add_header("content-type", "application/json")
        if self.token:
            request.add_header("authorization", f"Bearer {self.token}")
        try:
            with urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise Refused(error.code, json.load(error)) from None

    def transaction(self) -> str:
        """An id that this device has not used yet."""
        self.sent += 1
        return f"{self.sent}"

    # --- keys ---------------------------------------------------------------------------------------

    @property
    def public(self) -> str:
        """The public key of the device, as others see it in `/keys/query`."""
        return text(self.private.public_key.encode())

    def open(self, sealed: dict[str, str]) -> bytes:
        """What was sealed for this device."""
        return SealedBox(self.private).decrypt(raw(sealed["ciphertext"]))

    def seal(self, user_id: str, device_id: str, secret: bytes) -> dict[str, str]:
        """A secret for somebody's device, and for nobody else: not for the servers between."""
        box = SealedBox(PublicKey(raw(self.key_of(user_id, device_id))))
        return {"algorithm": "sealed_box", "ciphertext": text(box.encrypt(secret))}

    def devices_of(self, user_id: str) -> dict[str, Any]:
        """The devices of a user, by id."""
        found: dict[str, Any] = self.ask("POST", "/keys/query", {"device_keys": {user_id: []}})["device_keys"].get(user_id, {})
        return found

    def key_of(self, user_id: str, device_id: str) -> str:
        """The curve25519 key that a device has signed.

        The signature shows that device and key belong together.  That the device is the user's, and not one that their server made up,
        shows only cross-signing by a user whom you have verified, which a real client checks here, too.
        """
        keys = self.devices_of(user_id)[device_id]
        named = f"ed25519:{device_id}"
        signature = raw(keys["signatures"][user_id][named])
        signed = {key: value for key, value in keys.items() if key not in ("signatures", "unsigned")}
        try:
            VerifyKey(raw(keys["keys"][named])).verify(canonical(signed), signature)
        except BadSignatureError:
            raise ValueError(f"{device_id} of {user_id} has not signed its keys") from None
        key: str = keys["keys"][f"curve25519:{device_id}"]
        return key

    def _upload_keys(self) -> None:
        keys: dict[str, Any] = {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
            "keys": {f"curve25519:{self.device_id}": self.public, f"ed25519:{self.device_id}": text(self.signing.verify_key.encode())},
        }
        signature = text(self.signing.sign(canonical(keys)).signature)
        keys["signatures"] = {self.user_id: {f"ed25519:{self.device_id}": signature}}
        self.ask("POST", "/keys/upload", {"device_keys": keys})

    # --- what comes ---------------------------------------------------------------------------------

    def follow(self, wait: float = 10.0) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
        """Wait for news: the messages to this device, and per room what was said there."""
        answer = self.ask("GET", "/sync", since=self.since, timeout=int(1000 * wait))
        self.since = answer["next_batch"]
        rooms = answer.get("rooms", {}).get("join", {})
        return answer.get("to_device", {}).get("events", []), {room: it.get("timeline", {}).get("events", []) for room, it in rooms.items()}


def canonical(value: Any) -> bytes:
    """The JSON that is signed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def text(secret: bytes) -> str:
    """Base64 as Matrix writes it."""
    return base64.b64encode(secret).decode().rstrip("=")


def raw(written: str) -> bytes:
    """The inverse of `text`."""
    return base64.b64decode(written + "=" * (-len(written) % 4))
