"""Places in a room's order as text: pagination tokens, and what a `/sync` token means for one room.  Knows no endpoint.

`t<major>_<minor>` is just after the event with that order; where `/sync` gave it out, `~` and the positions it had seen follow, for
`/members?at=`.  A sync token is `s`, the positions that were seen, and after a `~` what
belongs to `/sync` alone.
"""

import re

from homeserver.errors import InvalidParam
from homeserver.events.errors import Malformed
from homeserver.storage import events
from homeserver.storage.events import Order
from homeserver.storage.positions import Token
from homeserver.storage.transactions import Transaction

_PLACE = re.compile(r"t(-?[0-9]{1,19})_(-?[0-9]{1,19})(?:~(p[0-9a-z_.-]*))?")

START: Order = (-(2**62), 0)


def text(order: Order, seen: Token | None = None) -> str:
    """The pagination token of the place just after an event, given out by somebody who had `seen` that much."""
    return f"t{order[0]}_{order[1]}" + (f"~{seen}" if seen is not None else "")


def positions(token: str) -> Token:
    """The positions that a sync token has seen; raises `InvalidParam`."""
    try:
        return Token.parse(token[1:].partition("~")[0]) if token[:1] == "s" else Token.parse("")
    except Malformed:
        raise InvalidParam(f"{token!r} is not a token of this server") from None


def read(txn: Transaction, room_id: str, token: str) -> Order:
    """The place in the room that a token of either kind means; raises `InvalidParam`."""
    found = _PLACE.fullmatch(token)
    if found is not None:
        return int(found[1]), int(found[2])
    return at(txn, room_id, positions(token))


def moment(txn: Transaction, room_id: str, token: str) -> Order:
    """The end of the room when the token was given out, which for a pagination token of `/sync` is later than its place."""
    found = _PLACE.fullmatch(token)
    if found is None or found[3] is None:
        return read(txn, room_id, token)
    return at(txn, room_id, positions(f"s{found[3]}"))


def at(txn: Transaction, room_id: str, seen: Token) -> Order:
    """The place of the last event of the room that a reader who has come to `seen` knows of."""
    places = [events.place_at(txn, room_id, low, high) for low, high in Token().ranges(seen)]
    return max((place for place in places if place is not None), default=START)
