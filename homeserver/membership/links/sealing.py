"""Seals a room's key to the key of a device, so that only that device can open it.  Pure, but for the randomness of the box."""

import base64

from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox

from homeserver.errors import InvalidParam

ALGORITHM = "sealed_box"


def seal(key: str, public_key: str) -> dict[str, str]:
    """The key in a sealed box (X25519, XSalsa20-Poly1305) in base64; raises `InvalidParam` for what is no public key."""
    try:
        box = SealedBox(PublicKey(base64.b64decode(public_key + "=" * (-len(public_key) % 4), validate=True)))
        sealed = box.encrypt(key.encode())
    except (CryptoError, TypeError, ValueError):
        raise InvalidParam("public_key is not a curve25519 key in base64") from None
    return {"algorithm": ALGORITHM, "ciphertext": base64.b64encode(sealed).decode()}
