"""Passwords: hashed slowly, outside the reactor, few at a time.  Knows no account."""

import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from homeserver.errors import LimitExceeded, Refused

T = TypeVar("T")

MAX_LENGTH = 512
MAX_WAITING = 64


class Offload(Protocol):
    """Runs a function in a bounded pool of threads; tests run it at once."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What one hash costs: passes, memory in KiB, lanes."""

    passes: int = 3
    memory: int = 65536
    lanes: int = 4


def checked(password: str, least: int) -> str:
    """The password, fit to be set; raises M_WEAK_PASSWORD or M_INVALID_PARAM."""
    if len(password) > MAX_LENGTH:
        raise Refused(400, "M_INVALID_PARAM", f"The password is longer than {MAX_LENGTH} characters")
    if len(password) < max(1, least):
        raise Refused(400, "M_WEAK_PASSWORD", f"The password needs at least {max(1, least)} characters")
    return password


def hash_now(password: str, cost: Cost) -> str:
    """The hash to store.  Takes long on purpose: for the command line and for threads."""
    return _hasher(cost).hash(_plain(password))


def _hasher(cost: Cost) -> PasswordHasher:
    return PasswordHasher(cost.passes, cost.memory, cost.lanes)


def _plain(password: str) -> bytes:
    # Keyboards differ in how they compose an accented letter.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


@dataclass
class Passwords:
    """Hashing and checking.  At most `MAX_WAITING` wait for their turn; who comes then is told to come back."""

    cost: Cost
    offload: Offload
    _decoy: str = ""
    _waiting: int = field(default=0)

    def __post_init__(self) -> None:
        # Checked against when there is no such account, so that this takes as long as when there is one.
        self._decoy = hash_now("", self.cost)

    async def hash(self, password: str) -> str:
        """The hash to store."""
        return await self._run(hash_now, password, self.cost)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the password of this hash.  Takes the same time when there is no hash."""
        if len(password) > MAX_LENGTH:
            return False
        right = await self._run(_matches, stored or self._decoy, password)
        return right and bool(stored)

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made at another cost than today's."""
        return _hasher(self.cost).check_needs_rehash(stored)

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        if self._waiting >= MAX_WAITING:
            raise LimitExceeded(2000)
        self._waiting += 1
        try:
            return await self.offload(function, *args)
        finally:
            self._waiting -= 1


def _matches(stored: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(stored, _plain(password))
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
