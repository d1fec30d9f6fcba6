"""What can go wrong with another server, as four kinds.  Knows no HTTP library and decides nothing."""


# The codes of other servers that mean the same to a client here.
RELAYED = frozenset(
    {
        *("M_FORBIDDEN", "M_NOT_FOUND", "M_LIMIT_EXCEEDED", "M_INVALID_PARAM", "M_BAD_JSON", "M_TOO_LARGE", "M_INVITE_BLOCKED"),
        *("M_UNSUPPORTED_ROOM_VERSION", "M_INCOMPATIBLE_ROOM_VERSION", "M_UNABLE_TO_AUTHORISE_JOIN", "M_UNABLE_TO_GRANT_JOIN"),
        *("M_UNRECOGNIZED", "M_UNKNOWN", "M_BAD_STATE", "M_DUPLICATE_ANNOTATION"),
    }
)


class PeerError(Exception):
    """A request to `who` (a server name, or a host) that did not bring what was asked for."""

    def __init__(self, who: str, reason: str) -> None:
        super().__init__(f"{who}: {reason}")
        self.who, self.reason = who, reason


class Unreachable(PeerError):
    """No name, no route, no connection, no valid certificate, denied by our own rules, or still waiting after failures."""


class TimedOut(PeerError):
    """It was not over within the time allowed."""


class Nonsense(PeerError):
    """An answer of the wrong shape, size or signature."""


class Answered(PeerError):
    """A well-formed refusal: another status than 2xx."""

    def __init__(self, who: str, status: int, errcode: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(who, f"{status} {errcode}: {message}")
        self.status, self.errcode, self.message, self.retry_after_ms = status, errcode, message, retry_after_ms

    @property
    def status_for_clients(self) -> int:
        """What a client of ours may be told: a refusal of theirs is one of ours, the rest their own trouble."""
        return self.status if self.status in (400, 403, 404, 429) else 502

    @property
    def errcode_for_clients(self) -> str:
        """What a client of ours may be told: nothing of which it would conclude that its own session or account has ended."""
        return self.errcode if self.errcode in RELAYED else "M_UNKNOWN"

    @property
    def unknown_endpoint(self) -> bool:
        """Whether the other side does not know the endpoint, so that an older one is worth a try."""
        return self.status in (404, 405) and self.errcode in ("M_UNRECOGNIZED", "")
