"""What a client is told beside rooms: messages to the device, keys, account data, receipts, typing.  spec: MSC3884, 3885, 3959 to 3961"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.errors import InvalidParam
from homeserver.keys import changes as keys
from homeserver.presence.typing import Typing
from homeserver.push import editing
from homeserver.receipts import reading
from homeserver.storage import account_data, one_time_keys, receipts, to_device, windows
from homeserver.storage.account_data import REMOVED
from homeserver.storage.positions import Token
from homeserver.storage.transactions import Transaction
from homeserver.sync.sliding import connection
from homeserver.sync.sliding.connection import Mark, Told
from homeserver.sync.sliding.request import Extensions, ToDevice
from homeserver.sync.sliding.task import Reader, Telling

MAX_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """The rooms that each extension is for, of those that the user is in; which they knew before, and what they are told now."""

    data: frozenset[str]
    receipts: frozenset[str]
    typing: frozenset[str]
    known: Mapping[str, Told]
    tellings: Mapping[str, Telling]
    account: Mark
    serial: int | None
    """How much of the typing the client knows; None: nothing."""


@dataclass(slots=True)
class Beside:
    """What is told, and whether any of it is news."""

    answer: dict[str, Any] = field(default_factory=dict)
    news: bool = False

    def add(self, name: str, section: dict[str, Any], news: bool) -> None:
        """Tell this."""
        self.answer[name] = section
        self.news |= news


def acknowledged(wish: ToDevice) -> int:
    """Up to which message the device says that it has them; raises `InvalidParam`."""
    text = wish.since or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidParam("extensions.to_device.since is not a token of this server")
    return int(text)


def tell(txn: Transaction, reader: Reader, wishes: Extensions, scope: Scope, typing: Typing) -> Beside:
    """Everything that was asked for."""
    beside = Beside()
    user, device = reader.viewer.user_id, reader.viewer.device_id
    if wishes.to_device.enabled and device:
        after = acknowledged(wishes.to_device)
        messages, last = to_device.waiting(txn, user, device, after, min(wishes.to_device.limit, MAX_MESSAGES))
        section: dict[str, Any] = {"next_batch": str(last)}
        if messages:
            section["events"] = [orjson.Fragment(message) for message in messages]
        beside.add("to_device", section, bool(messages))
    if wishes.e2ee.enabled and device:
        _keys(txn, reader, device, beside)
    if wishes.account_data.enabled:
        _account_data(txn, reader, scope, beside)
    if wishes.receipts.enabled:
        _receipts(txn, reader, scope, beside)
    if wishes.typing.enabled:
        _typing(reader, scope, typing, beside)
    return beside


def _keys(txn: Transaction, reader: Reader, device: str, beside: Beside) -> None:
    user = reader.viewer.user_id
    lists = keys.device_lists(txn, user, reader.seen, reader.upto)
    section: dict[str, Any] = {
        # Always there, also when empty: clients read their absence as "no news" and would not upload keys.
        "device_one_time_keys_count": one_time_keys.counts(txn, user, device),
        "device_unused_fallback_key_types": one_time_keys.unused_fallback_types(txn, user, device),
    }
    if lists:
        section["device_lists"] = lists.encode()
    beside.add("e2ee", section, bool(lists))


def _by_mark(
    rooms: Iterable[str], scope: Scope, mark: Callable[[Told], Mark], seen: Token | None
) -> tuple[list[str], dict[Token, list[str]]]:
    """Rooms of which the client knows nothing of the kind, and the others by how far they were told."""
    never: list[str] = []
    since: dict[Token, list[str]] = {}
    for room in rooms:
        told = scope.known.get(room)
        telling = scope.tellings.get(room)
        upto = connection.since(mark(told), seen) if told is not None and not (telling is not None and telling.fresh) else None
        if upto is None:
            never.append(room)
        else:
            since.setdefault(upto, []).append(room)
    return never, since


def _account_data(txn: Transaction, reader: Reader, scope: Scope, beside: Beside) -> None:
    user = reader.viewer.user_id
    since = connection.since(scope.account, reader.seen)
    if since is None:
        rows = account_data.of_room(txn, user, "")
        push_rules: dict[str, Any] | None = editing.shown(txn, user)
    else:
        found = [row for low, high in since.ranges(reader.upto) for row in account_data.changes(txn, user, low, high)]
        rows = [(kind, content) for room, kind, content in found if room == ""]
        push_rules = editing.shown_if_changed(txn, user, since.ranges(reader.upto))
    if push_rules is not None:
        rows = [*rows, ("m.push_rules", orjson.dumps(push_rules))]
    never, others = _by_mark(scope.data, scope, lambda told: told.data, reader.seen)
    rooms = windows.account_data(txn, user, never) if never else {}
    rooms = {room: [(kind, content) for kind, content in some if content != REMOVED] for room, some in rooms.items()}
    for upto, some in others.items():
        wanted = set(some)
        for low, high in upto.ranges(reader.upto):
            for room, kind, content in account_data.changes(txn, user, low, high):
                if room in wanted:
                    rooms.setdefault(room, []).append((kind, content))
    section: dict[str, Any] = {"global": _data(rows)} if rows else {}
    shown = {room: _data(some) for room, some in rooms.items() if some}
    if shown:
        section["rooms"] = shown
    if section:
        beside.add("account_data", section, True)


def _data(rows: Iterable[tuple[str, bytes]]) -> list[dict[str, Any]]:
    return [{"type": kind, "content": orjson.Fragment(content)} for kind, content in rows]


def _receipts(txn: Transaction, reader: Reader, scope: Scope, beside: Beside) -> None:
    user = reader.viewer.user_id
    never, others = _by_mark(scope.receipts, scope, lambda told: told.receipts, reader.seen)
    found = []
    longer = {room for room in scope.receipts if room in scope.tellings and scope.tellings[room].expanded}
    if never or longer:
        targets = [(room, event) for room in {*never, *longer} if room in scope.tellings for event in scope.tellings[room].timeline]
        found += windows.receipts_of_events(txn, user, never, targets)
    for upto, rooms in others.items():
        found += [one for low, high in upto.ranges(reader.upto) for one in receipts.changed(txn, user, rooms, low, high)]
    shown = reading.contents(found, reader.ignored)
    if shown:
        beside.add("receipts", {"rooms": {room: {"type": "m.receipt", "content": content} for room, content in shown.items()}}, True)


def _typing(reader: Reader, scope: Scope, typing: Typing, beside: Beside) -> None:
    def is_new(room: str) -> bool:
        told = scope.known.get(room)
        return told is None or told.events != connection.LIVE or scope.serial is None

    new = {room for room in scope.typing if is_new(room)}
    found = typing.since(scope.serial or 0, scope.typing - new)
    # Who came back to a room may still show somebody who has stopped meanwhile.
    found |= typing.since(1, [room for room in new if room in scope.known])
    found |= typing.since(0, [room for room in new if room not in scope.known])
    shown = {
        room: {"type": "m.typing", "content": {"user_ids": [user for user in users if user not in reader.ignored]}}
        for room, users in found.items()
    }
    if shown:
        beside.add("typing", {"rooms": shown}, True)
