"""What travels between two processes: a greeting that proves both ends, then sealed frames.  Pure, but for the nonces that are given.

Each end proves that it knows the secret of the server, and who replays or changes a frame ends the connection.  Frames are encrypted,
too: some of what they carry is never written down.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

VERSION = b"hsbus/1\n"
NONCE = 32
PROOF = 32
LARGEST_FRAME = 1 << 20
LARGEST_PAYLOAD = 256 << 10
MOST_KIND = 50  # characters


class Nonsense(ValueError):
    """What came is not from a process of this server, or not in a version that is understood here."""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """`number`: not 0 where the sender waits to hear that it was taken.  An empty `kind` says that."""

    kind: str
    number: int
    payload: bytes


_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[Message])


def secret_of(seed: bytes, name: str) -> bytes:
    """The secret between the processes of the server that signs with the key of this seed."""
    return hashlib.blake2b(name.encode(), key=seed, person=b"homeserver bus", digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Meeting:
    """What both ends of a new connection know: the secret, and the nonce of each.  `caller` is who connected."""

    secret: bytes
    caller: bytes
    callee: bytes

    def proof(self, whose: bytes) -> bytes:
        """What shows that the `caller` or `callee` knows the secret."""
        return self._derived(b"proof " + whose)

    def is_proof(self, whose: bytes, said: bytes) -> bool:
        """Whether that was shown."""
        return hmac.compare_digest(self.proof(whose), said)

    def seal(self, whose: bytes) -> "Seal":
        """What seals the frames of that end."""
        return Seal(SecretBox(self._derived(b"seal " + whose)))

    def _derived(self, purpose: bytes) -> bytes:
        return hashlib.blake2b(VERSION + purpose + b"\n" + self.caller + self.callee, key=self.secret, digest_size=32).digest()


@dataclass(slots=True)
class Seal:
    """One direction of a connection: each frame has the next number, so none is taken twice or left out."""

    box: SecretBox
    count: int = field(default=0)

    def close(self, messages: list[Message]) -> bytes:
        """A frame, without its length."""
        return bytes(self.box.encrypt(_ENCODER.encode(messages), self._next()).ciphertext)

    def open(self, frame: bytes) -> list[Message]:
        """The messages in a frame; raises `Nonsense`."""
        try:
            return _DECODER.decode(self.box.decrypt(frame, self._next()))
        except (CryptoError, msgspec.DecodeError) as error:
            raise Nonsense(f"a frame cannot be opened: {error}") from None

    def _next(self) -> bytes:
        self.count += 1
        return self.count.to_bytes(SecretBox.NONCE_SIZE, "big")
