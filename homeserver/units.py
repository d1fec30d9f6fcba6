"""Values that are written for people and used as numbers: durations, sizes, rates, and secrets that do not print."""

import re
from dataclasses import dataclass
from typing import ClassVar


class Duration(int):
    """Milliseconds, written as 500ms, 30s, 5m, 1h, 7d."""

    EXPECTS: ClassVar[str] = "a duration such as 30s, 5m, 1h or 7d"
    UNITS: ClassVar[dict[str, int]] = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """The duration that `text` names."""
        match = re.fullmatch(r"(\d{1,9})\s*(ms|s|m|h|d|w)", text.strip())
        if match is None:
            raise ValueError
        return cls(int(match[1]) * cls.UNITS[match[2]])

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self / 1000

    def __str__(self) -> str:
        unit = next(unit for unit, size in sorted(self.UNITS.items(), key=lambda item: -item[1]) if int(self) % size == 0 and unit != "w")
        return f"{int(self) // self.UNITS[unit]}{unit}"


class Size(int):
    """Bytes, written as 512, 64K, 50M, 2G."""

    EXPECTS: ClassVar[str] = "a size such as 64K, 50M or 2G"
    UNITS: ClassVar[dict[str, int]] = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}

    @classmethod
    def parse(cls, text: str) -> "Size":
        """The size that `text` names."""
        match = re.fullmatch(r"(\d{1,12})\s*([KMG]?)i?B?", text.strip())
        if match is None:
            raise ValueError
        return cls(int(match[1]) * cls.UNITS[match[2]])

    def __str__(self) -> str:
        unit = next(unit for unit, size in reversed(self.UNITS.items()) if int(self) % size == 0) if self else ""
        return f"{int(self) // self.UNITS[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many per second on average, and `burst` at once; written as `0.5, 10`."""

    EXPECTS: ClassVar[str] = "a rate as `per_second, burst`, e.g. 0.5, 10"

    per_second: float
    burst: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """The rate that `text` names."""
        per_second, _, burst = text.partition(",")
        rate = cls(float(per_second), int(burst))
        if not 0 < rate.per_second < float("inf") or rate.burst < 1:
            raise ValueError("both must be greater than 0")
        return rate

    def __str__(self) -> str:
        return f"{self.per_second:g}, {self.burst}"


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Text that must not show up in a log or an error message; `reveal` is the one way to read it."""

    EXPECTS: ClassVar[str] = "text (kept secret)"
    SECRET: ClassVar[bool] = True

    _text: str

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """The secret `text`."""
        if not text:
            raise ValueError
        return cls(text)

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__
