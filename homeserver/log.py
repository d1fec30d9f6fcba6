"""What is written to the log, and under which request.  Knows no secrets: what is given to it is written."""

from contextvars import ContextVar

request_context: ContextVar[str] = ContextVar("request", default="-")
