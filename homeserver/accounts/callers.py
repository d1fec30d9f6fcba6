"""From a request's token to the account behind it, mostly from memory.  Hands out no token and refuses no action.

A token that ends is forgotten in the moment its end is committed, and by the other processes before the act that ended it is answered.
Should one not say so in time, it hears of it all the same (`Revocations`), and at last notices within `FRESH_MS`.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from twisted.internet.defer import Deferred

from homeserver.accounts import secrets
from homeserver.accounts.bridges import Bridge, Bridges, NoBridges
from homeserver.bus.publishing import Alone, Bus
from homeserver.clock import Clock
from homeserver.errors import Forbidden, Refused, UnknownToken
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts, devices, tokens
from homeserver.storage.accounts import Account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.devices import Device
from homeserver.storage.dialect import SQLITE
from homeserver.storage.tokens import Pair
from homeserver.storage.wakeups import Wakeups, Watch
from homeserver.web.callers import Caller, access_token
from homeserver.web.coding import query_values
from homeserver.web.types import Request

FRESH_MS = 15_000
SIGHTING_MS = 5 * 60 * 1000
CAPACITY = 50_000
BUCKETS = 64
MAX_AGENT = 200
KIND, HASH = "tokens", 32  # on the bus: their hashes, of so many bytes, one after the other
MOST_ENDED = 5000  # of one act
FORGETTING_SECONDS = 2.0  # for the other processes

MASQUERADE_DEVICE = ("device_id", "org.matrix.msc3202.device_id")


@dataclass(frozen=True, slots=True)
class Known:
    """A token that was looked up: who it is, when the token ends, when that was read."""

    caller: Caller
    expires_ts: int | None
    read_ts: int


@dataclass
class Memory:
    """Tokens by their hash, in buckets by its first byte.  A look-up that was under way while something was forgotten is not kept."""

    bus: Bus = field(default_factory=Alone)
    capacity: int = CAPACITY // BUCKETS
    generation: int = 0
    _hearing: int | None = 0
    _buckets: list[OrderedDict[bytes, Known]] = field(default_factory=lambda: [OrderedDict() for _ in range(BUCKETS)])

    def __post_init__(self) -> None:
        self.bus.subscribe(KIND, self._hear)

    def get(self, token_hash: bytes) -> Known | None:
        """What is known of the token.  Nothing while other processes could not say that it has ended."""
        hearing = self.bus.hearing
        if hearing is None or hearing != self._hearing:
            self._hearing = hearing
            for number in range(BUCKETS):
                self.forget_bucket(number)
        return self._bucket(token_hash).get(token_hash)

    def _bucket(self, token_hash: bytes) -> OrderedDict[bytes, Known]:
        return self._buckets[token_hash[0] % BUCKETS]

    def keep(self, token_hash: bytes, known: Known, generation: int) -> None:
        """Remember what was read when the generation was this one."""
        if generation != self.generation:
            return
        bucket = self._bucket(token_hash)
        bucket[token_hash] = known
        bucket.move_to_end(token_hash)
        while len(bucket) > self.capacity:
            bucket.popitem(last=False)

    def forget(self, token_hashes: Iterable[bytes]) -> None:
        """These tokens ended, or their accounts changed."""
        self.generation += 1
        for token_hash in token_hashes:
            self._bucket(token_hash).pop(token_hash, None)

    def end(self, token_hashes: list[bytes]) -> Deferred[bool]:
        """Forget tokens here and in all processes; whether all have done so in time."""
        self.forget(token_hashes)
        payload = b"".join(token_hashes)[: MOST_ENDED * HASH]
        return Deferred.fromCoroutine(self.bus.confirmed(KIND, payload, FORGETTING_SECONDS))

    def _hear(self, payload: bytes) -> None:
        self.forget(payload[at : at + HASH] for at in range(0, len(payload), HASH))

    def forget_bucket(self, number: int) -> None:
        """Some tokens of this bucket ended."""
        self.generation += 1
        self._buckets[number].clear()


def known(pair: Pair, account: Account, now: int) -> Known:
    """What is known of a token, as read at the time `now`."""
    return Known(_caller(pair, account), pair.expires_ts, now)


def _key(bucket: int) -> str:
    return f"tokens/{bucket}"


def ended(txn: Transaction, memory: Memory, token_hashes: list[bytes]) -> None:
    """Forget tokens once the act that ended them is committed."""
    if token_hashes:
        txn.on_commit(memory.end, token_hashes)
        txn.wake(*{_key(token_hash[0] % BUCKETS) for token_hash in token_hashes})


def changed(txn: Transaction, memory: Memory, user_id: str) -> None:
    """Forget what is known of a user's tokens once the act that changed the account is committed."""
    ended(txn, memory, tokens.of_user(txn, user_id))


@dataclass
class Revocations:
    """Hears of tokens that other processes ended."""

    wakeups: Wakeups
    memory: Memory
    _watches: list[Watch] = field(default_factory=list)

    def start(self) -> None:
        """Begin to listen."""
        self._watches = [_Ear(self.wakeups, self.memory, number) for number in range(BUCKETS)]

    async def stop(self) -> None:
        """Listen no more."""
        for watch in self._watches:
            watch.close()


class _Ear(Watch):
    """Empties a bucket as soon as it is told."""

    waits = True

    def __init__(self, wakeups: Wakeups, memory: Memory, number: int) -> None:
        self._memory, self._number = memory, number
        super().__init__(wakeups, [_key(number)])

    def fire(self) -> None:
        self._memory.forget_bucket(self._number)


@dataclass
class Sightings:
    """When devices were last seen; kept in memory and written now and then, together."""

    _waiting: dict[tuple[str, str], Device] = field(default_factory=dict)
    _noted: OrderedDict[tuple[str, str], tuple[int, str]] = field(default_factory=OrderedDict)

    def note(self, caller: Caller, request: Request, now: int) -> None:
        """The device made a request."""
        if caller.device_id is None:
            return
        key = (caller.user_id, caller.device_id)
        before = self._noted.get(key)
        if before is not None and before[1] == request.ip and now - before[0] < SIGHTING_MS:
            return
        agent = request.headers.get("user-agent", "").replace("\0", "")[:MAX_AGENT]
        self._noted[key] = (now, request.ip)
        self._noted.move_to_end(key)
        if len(self._noted) > CAPACITY:
            self._noted.popitem(last=False)
        self._waiting[key] = Device(*key, last_seen_ts=now, last_seen_ip=request.ip, user_agent=agent or None)

    async def write(self, database: Database) -> None:
        """Store what was noted since the last time; call it every minute or so, and at the end."""
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            await database.write(devices.seen, list(waiting.values()))


@dataclass(frozen=True)
class Callers:
    """Says who calls.  `bridges` knows the application services, who may call as their users."""

    database: Database
    clock: Clock
    bridges: Bridges = field(default_factory=NoBridges)
    memory: Memory = field(default_factory=Memory)
    sightings: Sightings = field(default_factory=Sightings)

    async def identify(self, request: Request) -> Caller:
        """The caller; raises `MissingToken`, `UnknownToken`, or what else stands against the account."""
        token = access_token(request)
        bridge = self.bridges.by_token(token)
        if bridge is not None:
            return await self._masquerade(bridge, request)
        token_hash, now = secrets.hashed(token), self.clock.now()
        found = self.memory.get(token_hash)
        if found is None or (self.shared and now - found.read_ts > FRESH_MS):
            found = await self._look_up(token_hash)
        if found.expires_ts is not None and now >= found.expires_ts:
            raise UnknownToken("The access token has expired", soft_logout=True)
        self.sightings.note(found.caller, request, now)
        return found.caller

    @property
    def shared(self) -> bool:
        """Whether other processes may end tokens: never on SQLite, which one process has for itself."""
        return self.database.engine != SQLITE

    async def _look_up(self, token_hash: bytes) -> Known:
        generation, now = self.memory.generation, self.clock.now()
        found = await self.database.read(tokens.by_access, token_hash)
        if found is None:
            raise UnknownToken(soft_logout=False)
        pair, account = found
        if account.deactivated:
            raise Refused(403, "M_USER_DEACTIVATED", "This account has been deactivated")
        if pair.replaces is not None and (pair.expires_ts is None or now < pair.expires_ts):
            generation = await self._first_use(pair)
        found_now = known(pair, account, now)
        self.memory.keep(token_hash, found_now, generation)
        return found_now

    async def _first_use(self, pair: Pair) -> int:
        """The tokens before these end; from here on the client has certainly got the new ones."""
        await self.database.write(_take_over, self.memory, pair)
        return self.memory.generation

    async def _masquerade(self, bridge: Bridge, request: Request) -> Caller:
        asked = query_values(request.query) if request.query else {}
        device_id = next((asked[name][0] for name in MASQUERADE_DEVICE if name in asked), None)
        caller = Caller(bridge.sender, device_id, appservice=bridge.id, rate_limited=False)
        if "user_id" in asked:
            user_id = _user(bridge, asked["user_id"][0])
            # The sender itself is never limited.  spec: application-service-api#registration
            caller = replace(caller, user_id=user_id, rate_limited=bridge.rate_limited and user_id != bridge.sender)
        if caller.user_id == bridge.sender and device_id is None:
            return caller
        return await self.database.read(_standing, caller)


def _user(bridge: Bridge, text: str) -> UserID:
    try:
        user_id = UserID.parse(text)
    except Malformed as error:
        raise Refused(400, "M_INVALID_PARAM", f"user_id: {error}") from None
    if not bridge.owns(user_id):
        raise Forbidden("This application service may not act as this user")
    return user_id


def _take_over(txn: Transaction, memory: Memory, pair: Pair) -> None:
    ended(txn, memory, tokens.take_over(txn, pair))


def _caller(pair: Pair, account: Account) -> Caller:
    return Caller(
        account.user_id,
        pair.device_id,
        pair.id,
        is_admin=account.admin,
        is_guest=account.kind == "guest",
        is_locked=account.locked,
        is_suspended=account.suspended,
    )


def _standing(txn: Transaction, caller: Caller) -> Caller:
    account = accounts.get(txn, caller.user_id)
    if account is None:
        raise Forbidden("The application service has not registered this user")
    if account.deactivated:
        raise Refused(403, "M_USER_DEACTIVATED", "This account has been deactivated")
    if caller.device_id is not None and devices.get(txn, caller.user_id, caller.device_id) is None:
        raise Refused(400, "M_UNKNOWN_DEVICE", "The user has no such device")
    return replace(caller, is_locked=account.locked, is_suspended=account.suspended)
