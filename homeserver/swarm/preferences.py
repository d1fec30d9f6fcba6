"""How a user wants a conversation to look and to sound: for the user's own devices only, as account data of the room.

Whatever way it is set, it is checked; and `ignoreNotifications` is a push rule, so that it holds for ordinary clients, too.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.accounts.account_data import AccountData, Entry
from homeserver.errors import InvalidParam, NotFound
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.vendor import named
from homeserver.push import editing
from homeserver.push.rules import Rule, Ruleset
from homeserver.storage import account_data
from homeserver.storage.transactions import Transaction
from homeserver.swarm import finding

TYPE: Final = named("preferences")
COLOR, SYMBOL, MUTED = "color", "symbol", "ignoreNotifications"
MOST_KEYS, LONGEST_KEY, LONGEST_VALUE, MOST_BYTES, LONGEST_SYMBOL = 64, 255, 4096, 16 * 1024, 64

_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_WORDS = {"true": True, "false": False}


def checked(content: Mapping[str, Any]) -> dict[str, Any]:
    """The preferences as they are kept; raises `InvalidParam` with what is wrong."""
    if len(content) > MOST_KEYS:
        raise InvalidParam(f"A conversation has at most {MOST_KEYS} preferences")
    kept = {key: CHECKS.get(_key(key), _free)(key, value) for key, value in content.items()}
    if len(orjson.dumps(kept)) > MOST_BYTES:
        raise InvalidParam(f"The preferences of a conversation have at most {MOST_BYTES} bytes")
    return kept


def _key(key: str) -> str:
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidParam(f"The name of a preference has 1 to {LONGEST_KEY} characters")
    return key


def _color(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _COLOR.fullmatch(value):
        raise InvalidParam(f"{key}: expected #RRGGBB")
    return value


def _muted(key: str, value: Any) -> bool:
    # Clients that know only texts say "true".
    found = _WORDS.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise InvalidParam(f"{key}: expected true or false")
    return found


def _symbol(key: str, value: Any) -> str:
    if (
        not isinstance(value, str)
        or not 0 < len(value.encode()) <= LONGEST_SYMBOL
        or any(ord(one) < 33 or 126 < ord(one) < 161 for one in value)
    ):
        raise InvalidParam(f"{key}: expected an emoji, of at most {LONGEST_SYMBOL} bytes")
    return value


def _free(key: str, value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    if not isinstance(value, str) or len(value) > LONGEST_VALUE:
        raise InvalidParam(f"{key[:50]}: expected a text of at most {LONGEST_VALUE} characters, a whole number, true or false")
    return value


CHECKS: Mapping[str, Callable[[str, Any], Any]] = {COLOR: _color, MUTED: _muted, SYMBOL: _symbol}


def meaning(txn: Transaction, entry: Entry, content: dict[str, Any]) -> dict[str, Any]:
    """What account data of this type mean to the server; see `accounts.account_data.Meaning`."""
    kept = checked(content)
    raw = account_data.lock(txn, entry.user_id, entry.room_id, entry.type)
    before = orjson.loads(raw).get(MUTED) if raw is not None else None
    muted = kept.get(MUTED, False if before else None)
    # Where nothing is said of it, a rule that the user has made by other means stays.
    if muted is not None:
        editing.edit(txn, entry.user_id, lambda rules: (_mute if muted else _unmute)(rules, entry.room_id))
    return kept


def _rule(room_id: str) -> Rule:
    """The rule by which other clients mute a room, too."""
    return Rule("override", room_id, (), ({"kind": "event_match", "key": "room_id", "pattern": room_id},))


def _mute(rules: Ruleset, room_id: str) -> Ruleset:
    return rules.put(_rule(room_id)).enable("override", room_id, True)


def _unmute(rules: Ruleset, room_id: str) -> Ruleset:
    found = [one for one in rules.own.get("override", ()) if one.rule_id == room_id and "notify" not in one.actions]
    return rules.delete("override", room_id) if found else rules


@dataclass(frozen=True)
class Preferences:
    """The preferences of users of this server."""

    data: AccountData

    async def get(self, user: UserID, room_id: RoomID) -> bytes:
        """The user's preferences for a room that they may know of, as JSON."""
        await self.data.database.read(finding.known, room_id, user)
        try:
            return await self.data.read(Entry(user, room_id, TYPE))
        except NotFound:
            return b"{}"

    async def put(self, user: UserID, room_id: RoomID, content: dict[str, Any]) -> None:
        """Replace them."""
        await self.data.database.read(finding.known, room_id, user)
        await self.data.put(Entry(user, room_id, TYPE), content)
