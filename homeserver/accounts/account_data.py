"""What clients keep on the server for themselves, tags among it.  Knows not what it means, but for what is not theirs to write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.errors import BadJSON, InvalidParam, NotFound, Refused, TooLarge
from homeserver.storage import account_data
from homeserver.storage.database import Database, Transaction

WHOLE_ACCOUNT = ""
MAX_CONTENT = 512 * 1024
MAX_TYPE = 255
MAX_ENTRIES = 50_000
TAGS = "m.tag"
MAX_TAGS = 100
# The server writes these itself, for other endpoints.  spec: client-server-api#server-behaviour-13
NOT_THEIRS = frozenset({"m.push_rules", "m.fully_read"})


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of one entry; `room_id` is "" for the account as a whole."""

    user_id: str
    room_id: str
    type: str

    def writable(self) -> "Entry":
        """Itself, if a client may write it; raises `Refused`."""
        if self.type in NOT_THEIRS:
            raise Refused(405, "M_BAD_JSON", f"{self.type} cannot be set through this API")
        if not 0 < len(self.type.encode("utf-8", "surrogatepass")) <= MAX_TYPE:
            raise InvalidParam(f"A type has 1 to {MAX_TYPE} bytes")
        return self


Meaning = Callable[[Transaction, Entry, dict[str, Any]], dict[str, Any]]
"""What the server makes of an entry that a client sets, or removes ({}): does what follows, answers what is kept; raises `Refused`."""


def _put(txn: Transaction, entry: Entry, content: bytes) -> None:
    new = account_data.get(txn, entry.user_id, entry.room_id, entry.type) is None
    if new and account_data.count(txn, entry.user_id) >= MAX_ENTRIES:
        raise Refused(400, "M_TOO_LARGE", f"An account has at most {MAX_ENTRIES} entries of account data")
    account_data.put(txn, entry.user_id, entry.room_id, entry.type, content)


def _tags(txn: Transaction, entry: Entry) -> dict[str, Any]:
    return _parsed(account_data.get(txn, entry.user_id, entry.room_id, entry.type))


def _locked_tags(txn: Transaction, entry: Entry) -> dict[str, Any]:
    return _parsed(account_data.lock(txn, entry.user_id, entry.room_id, entry.type))


def _parsed(raw: bytes | None) -> dict[str, Any]:
    tags = orjson.loads(raw).get("tags") if raw is not None else None
    return tags if isinstance(tags, dict) else {}


def _set_tag(txn: Transaction, entry: Entry, tag: str, content: dict[str, Any]) -> None:
    tags = _locked_tags(txn, entry)
    if tag not in tags and len(tags) >= MAX_TAGS:
        raise Refused(400, "M_TOO_LARGE", f"A room has at most {MAX_TAGS} tags")
    _put(txn, entry, orjson.dumps({"tags": {**tags, tag: content}}))


def _remove_tag(txn: Transaction, entry: Entry, tag: str) -> None:
    tags = _locked_tags(txn, entry)
    if tags.pop(tag, None) is not None:
        # Content {} would mean that there never were tags: a client that follows must see them go.
        account_data.put(txn, entry.user_id, entry.room_id, entry.type, orjson.dumps({"tags": tags}))


@dataclass(frozen=True)
class AccountData:
    """Account data and tags of all users.  `meanings` are those of types in rooms that mean something to the server."""

    database: Database
    meanings: Mapping[str, Meaning] = field(default_factory=dict)

    async def read(self, entry: Entry) -> bytes:
        """One entry as JSON; raises `NotFound`."""
        found = await self.database.read(account_data.get, entry.user_id, entry.room_id, entry.type)
        if found is None:
            raise NotFound("There is no such account data")
        return found

    async def put(self, entry: Entry, content: dict[str, Any]) -> None:
        """Set an entry; an empty one is removed."""
        if len(orjson.dumps(content)) > MAX_CONTENT:
            raise TooLarge(f"Account data has at most {MAX_CONTENT} bytes")
        await self.database.write(self._put, entry.writable(), content)

    async def remove(self, entry: Entry) -> None:
        """Remove an entry; raises `NotFound`."""
        await self.database.write(self._remove, entry.writable())

    async def tags(self, user_id: str, room_id: str) -> dict[str, Any]:
        """The tags of a room."""
        return await self.database.read(_tags, Entry(user_id, room_id, TAGS))

    async def set_tag(self, user_id: str, room_id: str, tag: str, content: dict[str, Any]) -> None:
        """Put a tag on a room; `order` is a number from 0 to 1."""
        order = content.get("order")
        if order is not None and (isinstance(order, bool) or not isinstance(order, (int, float))):
            raise BadJSON("order: Expected a number")
        if not 0 < len(tag.encode("utf-8", "surrogatepass")) <= MAX_TYPE:
            raise InvalidParam(f"A tag has 1 to {MAX_TYPE} bytes")
        if len(orjson.dumps(content)) > 4096:
            raise TooLarge("The content of a tag has at most 4096 bytes")
        await self.database.write(_set_tag, Entry(user_id, room_id, TAGS), tag, content)

    async def remove_tag(self, user_id: str, room_id: str, tag: str) -> None:
        """Take a tag off a room; nothing happens if it is not there."""
        await self.database.write(_remove_tag, Entry(user_id, room_id, TAGS), tag)

    def _put(self, txn: Transaction, entry: Entry, content: dict[str, Any]) -> None:
        _put(txn, entry, orjson.dumps(self._meant(txn, entry, content)))

    def _remove(self, txn: Transaction, entry: Entry) -> None:
        self._meant(txn, entry, {})
        if not account_data.remove(txn, entry.user_id, entry.room_id, entry.type):
            raise NotFound("There is no such account data")

    def _meant(self, txn: Transaction, entry: Entry, content: dict[str, Any]) -> dict[str, Any]:
        meaning = self.meanings.get(entry.type) if entry.room_id != WHOLE_ACCOUNT else None
        return content if meaning is None else meaning(txn, entry, content)
