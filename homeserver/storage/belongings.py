"""All that belongs to a user and to one of their devices, for a first sync: in one statement, however much it is.  Knows no room."""

from collections.abc import Collection
from dataclasses import dataclass, field

from homeserver.storage.account_data import REMOVED
from homeserver.storage.positions import Token
from homeserver.storage.to_device import PAGE
from homeserver.storage.transactions import Transaction

WRITERS, DATA, RULES, ROOM, MAIL, KEYS, FALLBACK = range(7)
# What a row is, two texts, two numbers, bytes.
EVERYTHING = f"""
    SELECT {WRITERS}, '', '', writer, count, NULL FROM writers
    UNION ALL SELECT {DATA}, room_id, type, 0, 0, content FROM account_data WHERE user_id = :user
    UNION ALL SELECT {RULES}, '', '', version, 0, rules FROM push_rules WHERE user_id = :user
    UNION ALL SELECT {ROOM}, room_id, membership, num, forgotten, NULL FROM members WHERE user_id = :user AND membership IN :memberships
    UNION ALL SELECT * FROM (SELECT {MAIL}, '', '', sequence, 0, message FROM to_device_messages
        WHERE user_id = :user AND device_id = :device AND sequence > :after ORDER BY sequence LIMIT :most) waiting
    UNION ALL SELECT {KEYS}, algorithm, '', COUNT(*), 0, NULL FROM one_time_keys
        WHERE user_id = :user AND device_id = :device AND claimed = 0 GROUP BY algorithm
    UNION ALL SELECT {FALLBACK}, algorithm, '', 0, 0, NULL FROM fallback_keys
        WHERE user_id = :user AND device_id = :device AND used = 0
"""


@dataclass(slots=True)
class Belongings:
    """It, as of `upto`."""

    upto: Token
    data: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Account data: room id (or ''), type, content."""
    rules: bytes | None = None
    """Push rules as they are stored; None for who changed nothing."""
    rooms: list[tuple[str, str, int]] = field(default_factory=list)
    """Room, membership, event number; without rooms that were forgotten."""
    mail: list[tuple[int, bytes]] = field(default_factory=list)
    """The next messages to the device, with their numbers."""
    key_counts: dict[str, int] = field(default_factory=lambda: {"signed_curve25519": 0})
    fallback_types: list[str] = field(default_factory=list)

    def messages(self, after: int) -> tuple[list[bytes], int]:
        """What waits for the device, and the number of the last one, or `after`."""
        return [message for _, message in self.mail], self.mail[-1][0] if self.mail else after


def read(txn: Transaction, user_id: str, device_id: str, after: int, memberships: Collection[str]) -> Belongings:
    """What belongs to them: of messages to the device those behind number `after`, of rooms those with one of these memberships."""
    rows = txn.all(EVERYTHING, user=user_id, device=device_id, after=after, most=PAGE, memberships=list(memberships))
    found = Belongings(Token.of({number: count for kind, _, _, number, count, _ in rows if kind == WRITERS}))
    for kind, text, other, number, count, raw in rows:
        if kind == DATA and bytes(raw) != REMOVED:
            found.data.append((text, other, bytes(raw)))
        elif kind == RULES:
            found.rules = bytes(raw)
        elif kind == ROOM and not (count and other != "join"):
            found.rooms.append((text, other, number))
        elif kind == MAIL:
            found.mail.append((number, bytes(raw)))
        elif kind == KEYS:
            found.key_counts[text] = number
        elif kind == FALLBACK:
            found.fallback_types.append(text)
    found.mail.sort()
    found.fallback_types.sort()
    return found
