"""User-interactive authentication as a state machine: what was asked, which stages are done, what is left.  Pure.

A session belongs to one act: method, path, caller and body.  What completes a stage is not known here.
spec: client-server-api#user-interactive-authentication-api
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.errors import BadJSON, Refused

PASSWORD, DUMMY, TERMS = "m.login.password", "m.login.dummy", "m.login.terms"
TOKEN, EMAIL = "m.login.registration_token", "m.login.email.identity"

Flow = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """The ways to pass: a list of flows, each a list of stages, and what a client must know for some of them."""

    flows: tuple[Flow, ...]
    params: Mapping[str, Any] = field(default_factory=dict)

    def passed(self, completed: Collection[str]) -> bool:
        """Whether these stages are a whole flow.  A flow without stages is never passed."""
        return any(flow and set(flow) <= set(completed) for flow in self.flows)

    def has(self, stage: str) -> bool:
        """Whether some flow has this stage."""
        return any(stage in flow for flow in self.flows)


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do: the request without its proof of identity."""

    method: str
    path: str
    user_id: str | None
    body: Mapping[str, Any]

    def seal(self, session_id: str) -> bytes:
        """Two MACs, of who does it where and of the body, that only the holder of the session's id can make, or try guesses against."""
        key = session_id.encode("utf-8", "surrogatepass")
        where = orjson.dumps([self.method, self.path.rstrip("/"), self.user_id])
        body = orjson.dumps({name: value for name, value in self.body.items() if name != "auth"}, option=orjson.OPT_SORT_KEYS)
        return hmac.digest(key, b"where" + where, "sha256") + hmac.digest(key, b"what" + body, "sha256")


def same_place(seal: bytes, other: bytes) -> bool:
    """Whether two seals of one session differ at most in the body."""
    return hmac.compare_digest(seal[:32], other[:32])


@dataclass(frozen=True, slots=True)
class Proof:
    """The `auth` of a request: which session, which stage, and the fields of that stage."""

    session: str | None
    stage: str | None
    fields: Mapping[str, Any]


def read_proof(auth: Any) -> Proof | None:
    """The proof in a request; None if there is none.  Raises `BadJSON`."""
    if auth is None:
        return None
    if not isinstance(auth, dict):
        raise BadJSON("auth: Expected an object")
    for name in ("session", "type"):
        if not isinstance(auth.get(name), (str, type(None))):
            raise BadJSON(f"auth.{name}: Expected a string")
    return Proof(auth.get("session"), auth.get("type"), auth)


class Challenge(Refused):
    """The 401 that says what is left to do; with `errcode` and `sentence` if a stage went wrong."""

    def __init__(self, session_id: str, offer: Offer, completed: Sequence[str], error: Refused | None = None) -> None:
        super().__init__(
            401,
            error.errcode if error else "",
            error.sentence if error else "",
            session=session_id,
            flows=[{"stages": list(flow)} for flow in offer.flows],
            params=dict(offer.params),
            **({"completed": list(completed)} if completed else {}),
        )
