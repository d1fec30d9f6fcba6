"""How much of what was said live a device has heard: the last number of each process that spoke.  Pure.

Processes number what they say, so a token of one process is good on the others: whatever a process has behind these numbers is new.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

MOST_SPEAKERS = 64


@dataclass(frozen=True, slots=True)
class Said:
    """Something said to whoever watches `key`: the `number`-th thing that process `speaker` said.  `kind` tells readers what it is.

    `by` is whom it is counted for: a user of this server, or another server.
    """

    speaker: int
    number: int
    kind: str
    key: str
    raw: bytes
    by: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """Process -> the number of the last thing it said that was heard."""

    last: dict[int, int] = field(default_factory=dict, hash=False)

    def covers(self, speaker: int, number: int) -> bool:
        """Whether this was heard."""
        return number <= self.last.get(speaker, 0)

    def __str__(self) -> str:
        return "-".join(f"{speaker:x}.{number:x}" for speaker, number in sorted(self.last.items()))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The inverse of `str`; None for what is not such a text."""
        try:
            found = dict(_pairs(text))
        except ValueError:
            return None
        return cls(found) if len(found) <= MOST_SPEAKERS else None


NOTHING = Heard()


def _pairs(text: str) -> Iterator[tuple[int, int]]:
    for pair in text.split("-") if text else ():
        speaker, _, number = pair.partition(".")
        if len(pair) > 40 or not (speaker + number).isalnum():
            raise ValueError(pair)
        yield int(speaker, 16), int(number, 16)
