"""What is packed into a transaction: items as canonical JSON, put together as bytes.  Pure; sends nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import orjson

from homeserver.events import canonical
from homeserver.storage.outgoing import Outgoing

T = TypeVar("T")

MOST_PDUS, MOST_EDUS = 50, 100  # spec: server-server-api#transactions
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """An event or an EDU as canonical JSON, and what it is called in a log."""

    name: str
    raw: bytes

    @classmethod
    def pdu(cls, event: Outgoing) -> "Item":
        """An event; put together once, however many servers it goes to."""
        return cls(event.event_id, canonical.merged(event.body, event.envelope))

    @classmethod
    def edu(cls, edu_type: str, content: bytes) -> "Item":
        """An EDU whose content is canonical JSON."""
        return cls(edu_type, b'{"content":' + content + b',"edu_type":' + orjson.dumps(edu_type) + b"}")


def content(origin: str, now_ms: int, pdus: Sequence[Item], edus: Sequence[Item]) -> bytes:
    """The body of a transaction as canonical JSON."""
    return b'{"edus":[%b],"origin":%b,"origin_server_ts":%d,"pdus":[%b]}' % (
        b",".join([item.raw for item in edus]),
        orjson.dumps(str(origin)),
        now_ms,
        b",".join([item.raw for item in pdus]),
    )


def loaded(items: Sequence[Item], most: int) -> list[Item]:
    """The first items that fit into one transaction; one always does."""
    taken: list[Item] = []
    size = 0
    for item in items[:most]:
        size += len(item.raw)
        if taken and size > MOST_BYTES:
            break
        taken.append(item)
    return taken


def halves(pdus: Sequence[Item], edus: Sequence[Item]) -> list[tuple[Sequence[Item], Sequence[Item]]]:
    """A transaction as two that are about half as large."""
    if pdus and edus:
        return [(pdus, ()), ((), edus)]
    if pdus:
        return [(pdus[: len(pdus) // 2], ()), (pdus[len(pdus) // 2 :], ())]
    return [((), edus[: len(edus) // 2]), ((), edus[len(edus) // 2 :])]
