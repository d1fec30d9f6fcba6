"""The one table from an exception to the answer a client gets.  Decides nothing; what is not in the table is our fault."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from homeserver.errors import BadJSON, Forbidden, InvalidParam, Refused, TooLarge
from homeserver.events.errors import Denied, Impossible, Malformed, OutOfDate, TooBig, UnknownVersion
from homeserver.web.coding import encode
from homeserver.web.types import Response

log = Logger()

_UNKNOWN = Refused(500, "M_UNKNOWN", "Internal server error")


def _version(error: Exception) -> Refused:
    return Refused(400, "M_UNSUPPORTED_ROOM_VERSION", str(error) or "This room version is not supported")


TABLE: dict[type[Exception], Callable[[Exception], Refused]] = {
    UnknownVersion: _version,
    TooBig: lambda error: TooLarge(str(error)),
    Malformed: lambda error: InvalidParam(str(error)),
    OutOfDate: lambda error: Refused(400, "ORG_HOMESERVER_OUT_OF_DATE", str(error)),
    Impossible: lambda error: BadJSON(str(error)),
    Denied: lambda error: Forbidden(str(error)),
    ConnectionError: lambda _: Refused(400, "M_UNKNOWN", "The request broke off"),  # of an upload; nobody is there to read this
    TimeoutError: lambda _: Refused(504, "M_UNKNOWN", "The answer took too long"),
    CancelledError: lambda _: Refused(503, "M_UNKNOWN", "The request was cancelled"),
}


def refusal(error: Exception) -> Refused | None:
    """What `error` means to the client; None when it was not foreseen."""
    if isinstance(error, Refused):
        return error
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error)
    return None


def answer(error: Exception) -> Response:
    """The answer to a request that ended with `error`.  The unforeseen is logged with its traceback, of which the client sees nothing."""
    refused = refusal(error)
    if refused is None:
        log.failure("Request failed")
        refused = _UNKNOWN
    return written(refused)


def written(refused: Refused) -> Response:
    """The standard error answer.  spec: client-server-api#standard-error-response"""
    headers = {"content-type": "application/json"}
    if "retry_after_ms" in refused.extra:
        headers["retry-after"] = str(max(1, -(-int(refused.extra["retry_after_ms"]) // 1000)))
    # The first answer of an interactive authentication is no error: it has no code.
    standard = {"errcode": refused.errcode, "error": refused.sentence} if refused.errcode else {}
    return Response(refused.status, headers, encode({**standard, **refused.extra}))
