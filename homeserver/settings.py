"""The configuration as dataclasses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many per second on average, and `burst` at once."""

    per_second: float
    burst: int
