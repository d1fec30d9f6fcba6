"""What accounts ask about application services.  Who they are and what they get is the business of `appservices`."""

from typing import Protocol

from homeserver.events.identifiers import UserID


class Bridge(Protocol):
    """One application service, as far as accounts are concerned."""

    @property
    def id(self) -> str:
        """Its id in the registration file."""

    @property
    def sender(self) -> UserID:
        """The user it is itself."""

    @property
    def rate_limited(self) -> bool:
        """Whether rate limits apply to it."""

    def owns(self, user_id: str) -> bool:
        """Whether it may act as this user: its sender, or one of its namespaces."""


class Bridges(Protocol):
    """All application services of this server."""

    def by_token(self, token: str) -> Bridge | None:
        """The one whose `as_token` this is."""

    def reserved(self, user_id: str, besides: str | None = None) -> bool:
        """Whether one other than `besides` has an exclusive namespace with this user."""


class NoBridges:
    """There are none."""

    def by_token(self, token: str) -> Bridge | None:
        """None."""
        return None

    def reserved(self, user_id: str, besides: str | None = None) -> bool:
        """No."""
        return False
