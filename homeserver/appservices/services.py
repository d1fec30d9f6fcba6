"""All application services of this server: whose token it is, whose names they are.  Sends nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from homeserver.appservices import registration
from homeserver.appservices.registration import Service
from homeserver.events.identifiers import ServerName
from homeserver.storage import accounts
from homeserver.storage.accounts import Account
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True)
class Services:
    """The services, by what others know of them."""

    all: tuple[Service, ...] = ()
    _by_token: dict[bytes, Service] = field(default_factory=dict)

    @classmethod
    def of(cls, services: Iterable[Service]) -> "Services":
        """These services."""
        found = tuple(services)
        # By a hash: how long a look-up takes says nothing about a token.
        return cls(found, {_hash(service.as_token): service for service in found})

    @classmethod
    def load(cls, paths: Iterable[Path], server_name: ServerName) -> "Services":
        """Those of the registration files; raises `BadSettings`."""
        return cls.of(registration.load(paths, server_name))

    def by_token(self, token: str) -> Service | None:
        """The one whose `as_token` this is."""
        return self._by_token.get(_hash(token)) if self._by_token else None

    def get(self, service_id: str | None) -> Service | None:
        """The one with this id."""
        return next((service for service in self.all if service.id == service_id), None)

    def reserved(self, user_id: str, besides: str | None = None) -> bool:
        """Whether one other than `besides` keeps this user for itself."""
        return any(
            service.id != besides and (service.sender == user_id or service.users.has_alone(user_id)) for service in self.all
        )  # fmt: skip

    def reserved_alias(self, alias: str, besides: str | None = None) -> bool:
        """Whether one other than `besides` keeps this alias for itself."""
        return any(service.id != besides and service.aliases.has_alone(alias) for service in self.all)

    def settle(self, txn: Transaction, now: int) -> None:
        """Give each service the account of its sender; one that is there already stays as it is."""
        for service in self.all:
            accounts.add(txn, Account(service.sender, "appservice", service.id, None, now))


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
