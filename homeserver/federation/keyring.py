"""Whether a signature of another server is good: its keys are found, kept, and asked for again when they are too old.

Knows no rule of rooms but which servers must have signed an event.  Keys are asked of the server itself and of the trusted notaries at
once; whoever is first to give the key wins.  spec: server-server-api#retrieving-server-keys
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.events import signing
from homeserver.events.arrival import Received
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, ServerName
from homeserver.federation import key_documents
from homeserver.federation.deferring import Shared, Turns, in_turns, start
from homeserver.federation.failures import PeerError
from homeserver.federation.key_documents import Document
from homeserver.identity import Identity
from homeserver.storage import server_keys
from homeserver.storage.database import Database
from homeserver.storage.server_keys import ServerKey

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 20.0  # for all keys of one question
ASK_AT_ONCE = 50  # servers that are asked for their keys side by side
AGAIN_MS = 10_000  # a server that gave its keys is not asked again sooner, whatever key it claims to have
FIRST_FAILURE_MS, LONGEST_FAILURE_MS = 10_000, 1_800_000
KEYS_PER_SIGNER = 8  # signatures of one server on one event that are looked at
IN_MEMORY = 50_000  # servers
CHUNK = 24  # events verified in one turn of the reactor: about 4 ms


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key, good for a signature made at `at_ms` (None: whenever it was made)."""

    server: ServerName
    key_id: str
    at_ms: int | None


class KeySource(Protocol):
    """Where key documents come from; `Peers` is one."""

    async def server_keys(self, server: ServerName) -> Any:
        """The document that `server` publishes."""

    async def query_server_keys(self, notary: ServerName, wanted: Mapping[ServerName, Mapping[str, int]]) -> list[Any]:
        """The documents that `notary` has of servers; `wanted` is server -> key id -> the time it must be good at."""


@dataclass
class _Asked:
    """When a server was asked for its keys, and how that went."""

    again_ms: int = 0
    failures: int = 0


@dataclass
class _Hunt:
    """A question under way: done when every key is found, or when nobody is left to ask."""

    missing: set[Wanted]
    running: int = 0
    done: "Deferred[None]" = field(default_factory=Deferred)

    def finish(self, found: Callable[[Wanted], object], *, ended: bool) -> None:
        self.running -= ended
        self.missing = {wanted for wanted in self.missing if found(wanted) is None}
        if (not self.missing or not self.running) and not self.done.called:
            self.done.callback(None)


class Keyring:
    """The keys of all servers."""

    def __init__(self, identity: Identity, database: Database, source: KeySource, notaries: Sequence[ServerName], clock: Clock) -> None:
        self._identity, self._database, self._source, self._clock = identity, database, source, clock
        self._notaries = tuple(notary for notary in notaries if notary != identity.name)
        self._known: dict[str, dict[str, ServerKey]] = {}
        self._asked: dict[str, _Asked] = {}
        self._shared: Shared[str, None] = Shared()
        self._turns = Turns(ASK_AT_ONCE)
        self._own = {key.id: key.secret.verify_key.encode() for key in (identity.key, *identity.further)}
        self._own |= {old.key.id: old.key.secret.verify_key.encode() for old in identity.former}

    # --- verdicts ----------------------------------------------------------------------------------------

    async def verify_event(self, event: Event) -> None:
        """Raises `BadSignature` unless every server that must have signed the event did."""
        problem = (await self.verify_events([event])).get(event.event_id)
        if problem is not None:
            raise BadSignature(problem)

    async def verify_events(self, events: Sequence[Event]) -> dict[EventID, str]:
        """Those of `events` that are not signed as they must be, and why.  Lets the reactor turn between small pieces."""
        received: list[Received] = []
        async for piece in in_turns(events, CHUNK * 4, self._clock):
            received += map(Received.of, piece)
        return await self.verify(received)

    async def verify(self, batch: Sequence[Received]) -> dict[EventID, str]:
        """The same of events that have just come."""
        verdicts = await self.verdicts(batch)
        return {event_id: problem for event_id, problem in verdicts.items() if problem is not None}

    async def verdicts(self, batch: Sequence[Received], *, ask: bool = True) -> dict[EventID, str | None]:
        """What is wrong with the signatures of each; None: nothing.  Without `ask`, only of those whose keys are in memory."""
        verdicts: dict[EventID, str | None] = {}
        checks: list[_Check] = []
        async for piece in in_turns(batch, CHUNK * 4, self._clock):
            for each in piece:
                try:
                    checks.append(_Check.of(each))
                except (Malformed, BadSignature) as error:
                    verdicts[each.event.event_id] = str(error)
        if ask:
            await self.find({wanted for check in checks for wanted in check.wanted()})
        else:
            checks = [check for check in checks if not self._still(check.wanted())]
        async for some in in_turns(checks, CHUNK, self._clock):
            for check in some:
                verdicts[check.event.event_id] = self._verified(check)
        return verdicts

    async def verify_json(self, server: ServerName, value: Mapping[str, Any], at_ms: int | None = None) -> None:
        """Raises `BadSignature` unless `server` signed the object with a key that is good at `at_ms`, by default now."""
        key_ids = signing.signing_keys(value, server)[:KEYS_PER_SIGNER]
        wanted = [Wanted(server, key_id, self._clock.now() if at_ms is None else at_ms) for key_id in key_ids]
        await self.find(wanted)
        message = signing.plain_bytes(value)
        self._check(server, message, {each.key_id: signing.signature_of(value, server, each.key_id) for each in wanted}, wanted)

    async def key_now(self, server: ServerName, key_id: str) -> bytes:
        """The public key, good now; raises `BadSignature`."""
        return await self.key(server, key_id, self._clock.now())

    def _verified(self, check: "_Check") -> str | None:
        try:
            for server, signatures in check.signatures.items():
                self._check(server, check.message, signatures, [Wanted(server, key_id, check.at_ms) for key_id in signatures])
        except BadSignature as error:
            return str(error)
        return None

    def _check(self, server: str, message: bytes, signatures: Mapping[str, str], wanted: Iterable[Wanted]) -> None:
        """All signatures with keys that are known and good must fit, and there must be one."""
        good = [(each, public) for each in wanted if (public := self._public(each)) is not None]
        if not good:
            raise BadSignature(f"No signature of {server} is made with a key that could be found and was good then")
        for each, public in good:
            signing.check_signature(message, signatures[each.key_id], public)

    # --- keys --------------------------------------------------------------------------------------------

    async def key(self, server: ServerName, key_id: str, at_ms: int | None) -> bytes:
        """The public key; raises `BadSignature` when it cannot be found, or was not good at `at_ms`."""
        wanted = Wanted(server, key_id, at_ms)
        await self.find([wanted])
        public = self._public(wanted)
        if public is None:
            raise BadSignature(f"The key {key_id} of {server} could not be found")
        return public

    async def find(self, wanted: Iterable[Wanted]) -> None:
        """Have these keys in memory, as far as they can be had: from memory, the database, their servers, the notaries."""
        missing = self._still(wanted)
        if not missing:
            return
        unread = {each.server for each in missing} - self._known.keys()
        if unread:
            self._learn(await self._database.read(server_keys.of_servers, unread))
            missing = self._still(missing)
        if missing:
            await self._hunt(missing)

    def _still(self, wanted: Iterable[Wanted]) -> set[Wanted]:
        return {each for each in wanted if self._public(each) is None}

    def _public(self, wanted: Wanted) -> bytes | None:
        if wanted.server == self._identity.name:
            return self._own.get(wanted.key_id)
        key = self._known.get(wanted.server, {}).get(wanted.key_id)
        return key.public if key is not None and key.good_at(wanted.at_ms) else None

    def _learn(self, keys: Iterable[ServerKey]) -> None:
        for key in keys:
            known = self._known.setdefault(key.server, {})
            before = known.get(key.key_id)
            if before is None or key.expired_ms is not None or key.valid_until_ms >= before.valid_until_ms:
                known[key.key_id] = key
        while len(self._known) > IN_MEMORY:
            del self._known[next(iter(self._known))]

    # --- asking ------------------------------------------------------------------------------------------

    async def _hunt(self, missing: set[Wanted]) -> None:
        now = self._clock.now()
        missing = {each for each in missing if each.server != self._identity.name and self._may_ask(each.server, now)}
        if not missing:
            return
        servers = {each.server for each in missing}
        hunt = _Hunt(missing)
        works = [self._shared.do(server, lambda server=server: self._ask(server)) for server in servers]  # type: ignore[misc]
        # A notary vouches for no notary: to believe one we would have to ask the other, and so on.
        through_notaries = {each for each in missing if each.server not in self._notaries}
        if through_notaries:
            works += [self._ask_notary(notary, through_notaries) for notary in self._notaries]
        hunt.running = len(works)
        for work in works:
            start(work).addErrback(_logged).addBoth(lambda _: hunt.finish(self._public, ended=True))
        try:
            await self._clock.timeout(hunt.done, PATIENCE_SECONDS)
        except TimeoutError:
            log.info("keys of %s were not found in time", ", ".join(sorted({each.server for each in hunt.missing})[:10]))

    def _may_ask(self, server: str, now: int) -> bool:
        asked = self._asked.get(server)
        return asked is None or asked.again_ms <= now or server in self._shared

    async def _ask(self, server: ServerName) -> None:
        asked = self._asked.setdefault(server, _Asked())
        while len(self._asked) > IN_MEMORY:
            del self._asked[next(iter(self._asked))]
        try:
            data = await self._turns.run("", lambda: self._source.server_keys(server))
            await self._take(data, server)
        except (PeerError, Malformed, BadSignature) as error:
            asked.failures += 1
            asked.again_ms = self._clock.now() + min(LONGEST_FAILURE_MS, FIRST_FAILURE_MS * 2 ** min(asked.failures - 1, 20))
            log.info("no keys of %s: %s", server, error)
        else:
            asked.failures, asked.again_ms = 0, self._clock.now() + AGAIN_MS

    async def _ask_notary(self, notary: ServerName, missing: Iterable[Wanted]) -> None:
        now, wanted = self._clock.now(), dict[ServerName, dict[str, int]]()
        for each in missing:
            wanted.setdefault(each.server, {})[each.key_id] = now if each.at_ms is None else each.at_ms
        try:
            documents = await self._source.query_server_keys(notary, wanted)
            for data in documents:
                if isinstance(data, dict) and data.get("server_name") in wanted:
                    await self.verify_json(notary, data)
                    await self._take(data, ServerName(data["server_name"]))
        except (PeerError, Malformed, BadSignature) as error:
            log.info("no keys from the notary %s: %s", notary, error)

    async def _take(self, data: object, server: ServerName) -> Document:
        document = key_documents.read(data, self._clock.now())
        if document.server != server:
            raise Malformed(f"The key document of {server} is that of {document.server}")
        self._learn(document.keys)
        await self._database.write(server_keys.store, document.keys, document.raw)
        return document

    async def fresh_documents(self, server: ServerName, at_ms: int) -> list[bytes]:
        """The signed documents known of `server`, asked for anew if none is good at `at_ms`: what a notary hands on."""
        known = await self._database.read(server_keys.documents, server)
        if not any(valid >= at_ms for _, _, valid in known) and self._may_ask(server, self._clock.now()):
            await self._shared.do(server, lambda: self._ask(server))
            known = await self._database.read(server_keys.documents, server)
        return list(dict.fromkeys(document for _, document, _ in known))


@dataclass(frozen=True, slots=True)
class _Check:
    """What is to be verified of one event: the signed bytes, and the signatures of each server that must have signed."""

    event: Event
    message: bytes
    signatures: dict[ServerName, dict[str, str]]
    at_ms: int | None

    @classmethod
    def of(cls, received: Received) -> "_Check":
        """Raises `BadSignature` where a signature is missing altogether."""
        event = received.event
        found = {server: _signatures(received.signatures, server) for server in signing.required_signers(event)}
        at_ms = event.origin_server_ts if event.version.enforces_key_validity else None
        return cls(event, received.message, found, at_ms)

    def wanted(self) -> Iterable[Wanted]:
        """The keys it takes."""
        return (Wanted(server, key_id, self.at_ms) for server, signatures in self.signatures.items() for key_id in signatures)


def _signatures(signatures: Mapping[str, Any], server: ServerName) -> dict[str, str]:
    entry = signatures.get(server, {})
    key_ids = [key_id for key_id in entry if key_id.startswith("ed25519:")][:KEYS_PER_SIGNER]
    if not key_ids:
        raise BadSignature(f"There is no signature of {server}")
    return {key_id: entry[key_id] for key_id in key_ids}


def _logged(failure: Any) -> None:
    log.error("asking for keys failed", exc_info=failure.value)
