"""Which servers to ask about a room, in which order, and what their refusals mean.  Pure.  docs/flows/joining.md"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.errors import NotFound, Refused
from homeserver.events.identifiers import RoomID, ServerName

MOST = 20

# The more a refusal says about the user and the room, the more it is worth telling; the rest are the server's own troubles.
WEIGHT = {
    "M_INCOMPATIBLE_ROOM_VERSION": 5,
    "M_TOO_LARGE": 3,
    "M_UNABLE_TO_AUTHORISE_JOIN": 2,
    "M_UNABLE_TO_GRANT_JOIN": 2,
    "M_FORBIDDEN": 4,
    "M_NOT_FOUND": 1,
}
STATUS = {"M_FORBIDDEN": 403, "M_TOO_LARGE": 413}


@dataclass(frozen=True, slots=True)
class Failure:
    """What one candidate said, or why it said nothing.  `errcode` is empty where it did not answer in Matrix's terms."""

    server: ServerName
    status: int
    errcode: str
    sentence: str


def order(
    inviter: ServerName | None, via: Iterable[ServerName], known: Iterable[ServerName], ourselves: ServerName
) -> list[ServerName]:
    """The candidates in the order in which they are asked: the inviter's server, those the client named, those we know of.

    Each once, never ourselves, `MOST` at most.
    """
    wanted = [*([inviter] if inviter is not None else []), *via, *known]
    return [server for server in dict.fromkeys(wanted) if server != ourselves][:MOST]


def of_id(room_id: RoomID) -> list[ServerName]:
    """The server that a room's ID names, where it names one: the last resort, for clients that say nothing else."""
    return [ServerName(room_id.domain)] if room_id.domain else []


def verdict(failures: Sequence[Failure]) -> Refused:
    """What the client is told when no candidate worked: the most specific refusal, and who said what."""
    if not failures:
        return NotFound("No server is known that could help with this room")
    told = max(failures, key=lambda failure: WEIGHT.get(failure.errcode, 0))
    sentence = "; ".join(f"{failure.server}: {failure.sentence}" for failure in failures)
    weight = WEIGHT.get(told.errcode, 0)
    if weight >= 3:
        # The status is ours: theirs may say that somebody is logged out, or anything else.
        return Refused(STATUS.get(told.errcode, 400), told.errcode, sentence)
    if weight >= 1:
        return NotFound(sentence)
    return Refused(502, "M_UNKNOWN", f"No candidate server could be reached ({sentence})")
