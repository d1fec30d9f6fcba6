"""The rates of what is limited, by name, and how an operator changes them.  Counts nothing: that is `web.limits`."""

from dataclasses import dataclass, field

from homeserver.typed_yaml import WrongField
from homeserver.units import Rate

DEFAULT_RATES = {
    "login": Rate(0.2, 5),
    "failed_login": Rate(0.2, 5),
    "registration": Rate(0.1, 5),
    "message": Rate(10, 50),
    "join": Rate(0.5, 20),
    "invite": Rate(0.5, 20),
    "room_creation": Rate(0.1, 10),
    "redaction": Rate(5, 50),
    "presence": Rate(1, 10),
    "profile": Rate(1, 10),
    "search": Rate(1, 10),
    "upload": Rate(2, 30),
    "media": Rate(50, 300),
    "preview": Rate(2, 20),
    "key_query": Rate(10, 100),
    "key_request": Rate(0.05, 100),
    "lookup": Rate(5, 50),
    "link_page": Rate(0.05, 5),
    "federation": Rate(50, 500),
    "transactions": Rate(50, 500),
}


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """How often accounts, addresses and servers may do what costs."""

    enabled: bool = True
    """false: no limit at all."""
    rates: dict[str, Rate] = field(default_factory=dict)
    """Changes to single rates, as `per_second, burst`."""

    def __post_init__(self) -> None:
        for name in self.rates:
            if name not in DEFAULT_RATES:
                raise WrongField("rates", f"there is no rate {name}; known are {', '.join(DEFAULT_RATES)}")

    @property
    def all_rates(self) -> dict[str, Rate]:
        """Every rate, with the changes."""
        return DEFAULT_RATES | self.rates
