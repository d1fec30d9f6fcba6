"""What other servers say of requests for room keys.  A word counts only from the requester's or the approver's own server, both joined."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.base import DelayedCall

from homeserver.errors import LimitExceeded
from homeserver.events.identifiers import ServerName, UserID
from homeserver.federation.deferring import start
from homeserver.room_keys import telling
from homeserver.room_keys.requests import MOST_IN_ROOM, MOST_OF_SERVER, MOST_OF_USER, Requests
from homeserver.room_keys.telling import APPROVAL, APPROVED, DONE, EDU, HERE, REQUEST, Word
from homeserver.rooms.acl import Admits
from homeserver.storage import destinations, key_requests, members, rooms
from homeserver.storage.key_requests import Request
from homeserver.storage.transactions import Transaction
from homeserver.units import Rate
from homeserver.web.limits import Limits

# What a server may say.  A request leaves a tombstone for a month, `here` is answered with all that is asked: neither is for floods.
RATES = {REQUEST: Rate(0.2, 2000), HERE: Rate(1 / 60, 10), APPROVAL: Rate(1, 1000), APPROVED: Rate(10, 10_000), DONE: Rate(10, 10_000)}

# What is said may overtake the join of who says it: that travels on its own, and a server that was down is given EDUs first.
LOOKS = (5.0, 60.0, 600.0, 3600.0)  # seconds from one look at such a word to the next
MOST_EARLY, MOST_EARLY_OF_SERVER = 500, 50

log = logging.getLogger(__name__)
Early = tuple[ServerName, str, str, str]
"""A word that came early: who sent it, the room, the request, the kind."""


@dataclass(frozen=True)
class Elsewhere:
    """Takes the words of other servers.  Those that came before the join of who says them are in memory, and looked at again."""

    requests: Requests
    admits: Admits
    limits: Limits
    early: dict[Early, DelayedCall] = field(default_factory=dict)

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """An EDU about a request; what is malformed, not for `origin` to say, or too much of it, is dropped."""
        word = telling.read(content)
        if word is not None and self._has_time(origin, word):
            if word.kind == DONE and (asked := self.early.pop((origin, word.room_id, word.request_id, REQUEST), None)) is not None:
                asked.cancel()
            await self._hear(origin, word, LOOKS)

    async def _hear(self, origin: ServerName, word: Word, looks: Sequence[float]) -> None:
        key = (origin, word.room_id, word.request_id, word.kind)
        if await self.requests.database.write(self._take, origin, word) and looks and self._has_place(key):
            self.early[key] = self.requests.clock.later(looks[0], self._again, key, word, looks[1:])

    def _has_place(self, key: Early) -> bool:
        return key not in self.early and len(self.early) < MOST_EARLY and sum(one[0] == key[0] for one in self.early) < MOST_EARLY_OF_SERVER

    def _again(self, key: Early, word: Word, looks: Sequence[float]) -> None:
        del self.early[key]
        start(self._hear(key[0], word, looks)).addErrback(_logged)

    def _has_time(self, origin: ServerName, word: Word) -> bool:
        try:
            self.limits.check(word.kind, f"{origin} {word.room_id}" if word.kind == HERE else origin)
        except LimitExceeded:
            return False
        return True

    def _take(self, txn: Transaction, origin: ServerName, word: Word) -> bool:
        """Do what the word says; whether it has come early instead."""
        if not self.admits(txn, word.room_id, origin):
            return False
        if word.kind == HERE:
            self._came(txn, origin, word)
            return False
        found = key_requests.get(txn, word.room_id, word.request_id)
        if word.kind == REQUEST:
            return found is None and self._asked(txn, origin, word)
        if word.kind == APPROVAL:
            return self._approved_there(txn, origin, word, found)
        if found is not None and found.user_id.domain == origin:
            if word.kind == DONE:
                self.requests.withdraw(txn, [found])
            elif word.kind == APPROVED and word.user_id is not None:
                self.requests.decided(txn, found, word.user_id)
        return False

    def _came(self, txn: Transaction, origin: ServerName, word: Word) -> None:
        """A server has come to the room, and may have missed what was said meanwhile: it hears what local users ask for."""
        if rooms.shares(txn, word.room_id, origin):
            pending = [one for one in key_requests.of_room(txn, word.room_id) if one.user_id.domain == self.requests.name]
            self.requests.repeat(txn, origin, pending)

    def _asked(self, txn: Transaction, origin: ServerName, word: Word) -> bool:
        user = _speaker(txn, origin, word)
        if user is None:
            return _is_early(txn, origin, word)
        count = key_requests.counts(txn, word.room_id, user)
        if count.of_server < MOST_OF_SERVER and count.in_room < MOST_IN_ROOM and count.of_user < MOST_OF_USER:
            now = self.requests.clock.now()
            self.requests.written(txn, Request(word.room_id, word.request_id, user, word.device_id, word.public_key, now))
        return False

    def _approved_there(self, txn: Transaction, origin: ServerName, word: Word, found: Request | None) -> bool:
        """Somebody approves a request of a local user: the first one stands, and each one is told which."""
        approver = _speaker(txn, origin, word)
        if approver is None:
            return _is_early(txn, origin, word)
        if found is None:
            content = {"kind": DONE, **telling.done(word.room_id, word.request_id)}
            destinations.post_edu(txn, origin, EDU, content, f"{EDU}/{word.request_id}")
        elif found.user_id.domain == self.requests.name and found.approver is None:
            self.requests.decide(txn, found, approver, word.sealed)
        elif found.user_id.domain == self.requests.name and found.approver is not None:
            content = {"kind": APPROVED, **telling.approval(word.room_id, word.request_id, found.approver)}
            destinations.post_edu(txn, origin, EDU, content, f"{EDU}/{word.request_id}")
        return False


def _speaker(txn: Transaction, origin: ServerName, word: Word) -> UserID | None:
    """The user that a server speaks for, if it may: the user's own server, and the user is in the room."""
    user = word.user_id
    return user if user is not None and user.domain == origin and members.is_joined(txn, word.room_id, user) else None


def _is_early(txn: Transaction, origin: ServerName, word: Word) -> bool:
    """Whether who says it may be about to come into the room, which is here."""
    room = rooms.get(txn, word.room_id)
    return word.user_id is not None and word.user_id.domain == origin and room is not None and not room.departed


def _logged(failure: Any) -> None:
    log.error("a word about a key could not be taken in", exc_info=failure.value)
