"""Secrets that are handed out once and kept as hashes.  Knows not what they open."""

import secrets
from collections.abc import Callable
from hashlib import sha256

Fresh = Callable[[], str]
"""Makes a new random text of at least 256 bits; tests give their own."""

_DEVICE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# The first letters tell a scanner of leaked secrets, and a person, what was found.
ACCESS, REFRESH, LOGIN, OPENID, AUTHENTICATION = "hsa_", "hsr_", "hsl_", "hso_", "hsu_"


def fresh() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def device_id() -> str:
    """A new device id, short enough to be read aloud."""
    return "".join(secrets.choice(_DEVICE_LETTERS) for _ in range(10))


def hashed(secret: str) -> bytes:
    """What is stored.  A plain hash suffices: what is hashed is random, nobody can guess it."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
