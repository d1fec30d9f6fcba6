"""What a transaction for an application service contains.  Reads it together; sends nothing.

spec: application-service-api#pushing-events; MSC2409 for the older names, MSC4203 for messages to devices, MSC3202 for keys
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from homeserver.appservices.interest import Interest
from homeserver.events import serving
from homeserver.rooms import presenting
from homeserver.rooms.stripped import stripped_state
from homeserver.storage import appservices, events, members, one_time_keys
from homeserver.storage.appservices import Message, Row
from homeserver.storage.events import Stored
from homeserver.storage.positions import LARGEST, SHIFT, Token
from homeserver.storage.receipts import Receipt
from homeserver.storage.transactions import Transaction

LOOKED_AT = 500  # events that are looked at in one read
MOST_EVENTS, MOST_MESSAGES, MOST_RECEIPTS, MOST_DEVICES = 100, 100, 500, 200


class Typists(Protocol):
    """Who types."""

    @property
    def serial(self) -> int:
        """Grows with each change."""

    def changes(self, serial: int) -> dict[str, list[str]]:
        """Room -> who types there, where that changed since."""


class Presences(Protocol):
    """Who is there."""

    @property
    def serial(self) -> int:
        """Grows with each change."""

    def changes(self, serial: int) -> dict[str, dict[str, Any]]:
        """User -> content of `m.presence`, of who changed since."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a service has been told: of what is stored, and of what is in memory only."""

    token: Token
    typing: int
    presence: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """What was found for a service; `upto` is how far was looked, `more` whether there is more already."""

    upto: Seen
    more: bool
    events: list[bytes] = field(default_factory=list)
    ephemeral: list[dict[str, Any]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    changed: frozenset[str] = frozenset()
    counts: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    fallback: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)

    @property
    def durable(self) -> bool:
        """Whether something in it must not get lost."""
        return bool(self.events or self.messages)

    def __bool__(self) -> bool:
        return bool(self.events or self.ephemeral or self.messages or self.changed)


@dataclass(frozen=True)
class Reader:
    """Reads what there is to tell."""

    typing: Typists
    presence: Presences

    def here(self, token: Token) -> Seen:
        """Everything up to now."""
        return Seen(token, self.typing.serial, self.presence.serial)

    def read(self, txn: Transaction, interest: Interest, since: Seen, upto: Seen, now: int) -> Parcel:
        """The next parcel: what is new between `since` and `upto`, as much as fits into one transaction."""
        service = interest.service
        rows, token, more = _stream(txn, interest, since.token, upto.token, now)
        shown = _client(txn, rows, now)
        if more:
            upto = Seen(token, since.typing, since.presence)
        parcel = Parcel(upto, more, shown)
        ranges = since.token.ranges(upto.token)
        if service.wants_ephemeral:
            parcel.ephemeral.extend(self._ephemeral(txn, interest, since, ranges, now))
        if not service.encryption:
            return parcel
        messages = appservices.messages(txn, service.id, MOST_MESSAGES)
        changed = {user for low, high in ranges for user in appservices.changed_lists(txn, service.id, low, high)}
        parcel = Parcel(upto, more or len(messages) == MOST_MESSAGES, shown, parcel.ephemeral, messages, frozenset(changed))
        return _with_keys(txn, service.id, parcel) if parcel else parcel

    def _ephemeral(
        self, txn: Transaction, interest: Interest, since: Seen, ranges: Iterable[tuple[int, int]], now: int
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for room_id, users in self.typing.changes(since.typing).items():
            if interest.follows(txn, room_id, now):
                found.append({"type": "m.typing", "room_id": room_id, "content": {"user_ids": users}})
        receipts = [one for low, high in ranges for one in appservices.receipts(txn, low, high, MOST_RECEIPTS)]
        for room_id, content in _receipts(receipts).items():
            if interest.follows(txn, room_id, now):
                found.append({"type": "m.receipt", "room_id": room_id, "content": content})
        there = self.presence.changes(since.presence)
        for user in sorted(appservices.known_to(txn, interest.service.id, list(there))):
            found.append({"type": "m.presence", "sender": user, "content": there[user]})
        return found


def _stream(txn: Transaction, interest: Interest, since: Token, upto: Token, now: int) -> tuple[list[Row], Token, bool]:
    """The next events that concern the service, how far was looked for them, and whether there may be more."""
    found: list[Row] = []
    seen, looked = since, 0
    for low, high in since.ranges(upto):
        for row in (rows := appservices.stream(txn, low, high, LOOKED_AT - looked)):
            if interest.has(txn, row, now):
                found.append(row)
            if len(found) == MOST_EVENTS:
                return found, seen.advanced(row.position >> SHIFT, row.position & LARGEST), True
        looked += len(rows)
        if looked == LOOKED_AT:
            last = rows[-1].position
            return found, seen.advanced(last >> SHIFT, last & LARGEST), True
        seen = seen.advanced(high >> SHIFT, high & LARGEST)
    return found, seen, False


def _client(txn: Transaction, rows: list[Row], now: int) -> list[bytes]:
    """The events in client format, with what a service cannot know otherwise."""
    if not rows:
        return []
    found = events.by_number(txn, [row.num for row in rows])
    others = events.by_number(txn, {num for one in found.values() for num in (one.replaces, one.redacted_by) if num is not None})
    shown = []
    for row in rows:
        stored = found.get(row.num)
        if stored is None:
            continue
        unsigned: dict[str, Any] = {"age": max(0, now - stored.event.origin_server_ts)}
        replaced = others.get(stored.replaces) if stored.replaces is not None else None
        if replaced is not None:
            unsigned |= {"prev_content": replaced.event.content, "replaces_state": replaced.event.event_id}
        because = others.get(stored.redacted_by) if stored.redacted_by is not None else None
        if because is not None:
            unsigned["redacted_because"] = presenting.plain(because)
        if stored.event.membership == "invite":
            unsigned["invite_room_state"] = _shown_to_invited(txn, stored)
        shown.append(serving.client_bytes(stored.event, unsigned))
    return shown


def _shown_to_invited(txn: Transaction, stored: Stored) -> list[Any]:
    invitation = members.invitation(txn, stored.event.room_id, stored.event.state_key or "")
    return invitation.stripped if invitation is not None else stripped_state(txn, stored.event.room_id)


def _receipts(found: Iterable[Receipt]) -> dict[str, dict[str, Any]]:
    """Room -> content of `m.receipt`."""
    contents: dict[str, dict[str, Any]] = {}
    for one in found:
        data: dict[str, Any] = {"ts": one.ts} | ({"thread_id": one.thread} if one.thread else {})
        contents.setdefault(one.room_id, {}).setdefault(one.event_id, {}).setdefault(one.type, {})[one.user_id] = data
    return contents


def _with_keys(txn: Transaction, service: str, parcel: Parcel) -> Parcel:
    """The same, with how many keys the devices of the service's users have left."""
    by_user: dict[str, list[str]] = {}
    for user, device in appservices.devices(txn, service, MOST_DEVICES):
        by_user.setdefault(user, []).append(device)
    fallback = {
        user: {device: one_time_keys.unused_fallback_types(txn, user, device) for device in wanted} for user, wanted in by_user.items()
    }
    counts = {user: {device: one_time_keys.counts(txn, user, device) for device in wanted} for user, wanted in by_user.items()}
    return Parcel(
        parcel.upto, parcel.more, parcel.events, parcel.ephemeral, parcel.messages, parcel.changed, counts, fallback
    )


def body(interest: Interest, parcel: Parcel) -> bytes:
    """The parcel as the body of a request."""
    service = interest.service
    content: dict[str, Any] = {"events": [orjson.Fragment(event) for event in parcel.events]}
    if parcel.ephemeral and service.ephemeral:
        content["ephemeral"] = parcel.ephemeral
    if parcel.ephemeral and service.old_ephemeral:
        content["de.sorunome.msc2409.ephemeral"] = parcel.ephemeral
    if service.encryption:
        if parcel.messages:
            content["de.sorunome.msc2409.to_device"] = [_message(message) for message in parcel.messages]
        if parcel.changed:
            content["org.matrix.msc3202.device_lists"] = {"changed": sorted(parcel.changed), "left": []}
        content["org.matrix.msc3202.device_one_time_keys_count"] = parcel.counts
        content["org.matrix.msc3202.device_one_time_key_counts"] = parcel.counts  # older services look here
        content["org.matrix.msc3202.device_unused_fallback_key_types"] = parcel.fallback
    return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


def _message(message: Message) -> dict[str, Any]:
    return {**orjson.loads(message.body), "to_user_id": message.user_id, "to_device_id": message.device_id}
