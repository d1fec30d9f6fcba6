"""How far a client has come: the text behind `next_batch`.  Opaque to clients, versioned by its first letter."""

from dataclasses import dataclass
from functools import lru_cache

from homeserver.errors import InvalidParam
from homeserver.live.heard import NOTHING, Heard
from homeserver.rooms import places
from homeserver.storage.positions import Token


@dataclass(frozen=True, slots=True)
class SyncToken:
    """What was seen of the stored streams, and of those that live in memory and in the device's inbox."""

    seen: Token
    typing: int = 0
    presence: int = 0
    inbox: int = 0
    live: Heard = NOTHING

    def __str__(self) -> str:
        live = f"~{self.live}" if self.live.last else ""
        return f"s{self.seen}~{self.typing}.{self.presence}.{self.inbox}{live}"

    @staticmethod
    def parse(text: str) -> "SyncToken":
        """The token a client came back with; raises `InvalidParam`."""
        return _parsed(text)


@lru_cache(maxsize=1000)  # many come back with the same one
def _parsed(text: str) -> SyncToken:
    seen = places.positions(text)
    memory, _, live = text.partition("~")[2].partition("~")
    numbers, heard = memory.split("."), Heard.parse(live)
    if heard is None or len(numbers) != 3 or not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
        raise InvalidParam(f"{text!r} is not a token of this server")
    typing, presence, inbox = (int(number) for number in numbers)
    return SyncToken(seen, typing, presence, inbox, heard)
