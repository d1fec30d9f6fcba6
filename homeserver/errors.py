"""The errors that become answers.  Knows no HTTP library; a status code is only a number here."""

from typing import Any


class Refused(Exception):
    """A request that ends with `status`, `errcode` and a sentence for a person.

    `extra` are further keys of the JSON answer.  spec: client-server-api#standard-error-response
    """

    def __init__(self, status: int, errcode: str, sentence: str, **extra: Any) -> None:
        super().__init__(sentence)
        self.status, self.errcode, self.sentence, self.extra = status, errcode, sentence, extra


class _Fixed(Refused):
    """A refusal whose status and errcode follow from its class."""

    STATUS = 400
    ERRCODE = "M_UNKNOWN"
    SENTENCE = "The request could not be carried out"

    def __init__(self, sentence: str = "", **extra: Any) -> None:
        super().__init__(self.STATUS, self.ERRCODE, sentence or self.SENTENCE, **extra)


class NotFound(_Fixed):
    """There is no such thing, or the caller may not know that there is."""

    STATUS, ERRCODE, SENTENCE = 404, "M_NOT_FOUND", "Not found"


class Forbidden(_Fixed):
    """The caller is known and may not do this."""

    STATUS, ERRCODE, SENTENCE = 403, "M_FORBIDDEN", "You are not allowed to do this"


class GuestAccess(_Fixed):
    """Something that guests may not do.  spec: client-server-api#guest-access"""

    STATUS, ERRCODE, SENTENCE = 403, "M_GUEST_ACCESS_FORBIDDEN", "Guests may not do this"


class BadJSON(_Fixed):
    """JSON of the wrong shape."""

    STATUS, ERRCODE, SENTENCE = 400, "M_BAD_JSON", "The JSON has the wrong shape"


class NotJSON(_Fixed):
    """Not JSON at all."""

    STATUS, ERRCODE, SENTENCE = 400, "M_NOT_JSON", "The content is not JSON"


class InvalidParam(_Fixed):
    """A path or query parameter of the wrong form."""

    STATUS, ERRCODE, SENTENCE = 400, "M_INVALID_PARAM", "A parameter has the wrong form"


class MissingParam(_Fixed):
    """A parameter that is needed is not there."""

    STATUS, ERRCODE, SENTENCE = 400, "M_MISSING_PARAM", "A parameter is missing"


class MissingToken(_Fixed):
    """No access token where one is needed."""

    STATUS, ERRCODE, SENTENCE = 401, "M_MISSING_TOKEN", "Missing access token"


class UnknownToken(_Fixed):
    """An access token nobody has."""

    STATUS, ERRCODE, SENTENCE = 401, "M_UNKNOWN_TOKEN", "Unrecognised access token"


class TooLarge(_Fixed):
    """A body over the limit."""

    STATUS, ERRCODE, SENTENCE = 413, "M_TOO_LARGE", "The content is too large"


class Unrecognized(_Fixed):
    """No such endpoint."""

    STATUS, ERRCODE, SENTENCE = 404, "M_UNRECOGNIZED", "Unrecognized request"


class LimitExceeded(Refused):
    """Too many requests; may be tried again after `retry_after_ms`."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(429, "M_LIMIT_EXCEEDED", "Too many requests", retry_after_ms=retry_after_ms)
