"""Who is online: in memory only, told to those who share a room and to their servers.  spec: client-server-api#presence

Changes are told together after a moment that grows with the number of users who are online, so that many changes cost
little more than one.  `since` may be called from any thread.  What one process hears it tells the others; other servers are told by
the process that heard of the user last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from homeserver.bus.publishing import Alone, Bus
from homeserver.clock import Clock
from homeserver.errors import Forbidden, InvalidParam
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName, UserID
from homeserver.federation.volatile import Edus
from homeserver.presence.state import (
    ACTIVE_MS,
    BUSY,
    LEFT_MS,
    MAX_STATUS,
    OFFLINE,
    ONLINE,
    STATES,
    UNAVAILABLE,
    UNKNOWN,
    Device,
    Local,
    State,
)
from homeserver.storage import sharing
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

EDU = "m.presence"
SWEEP_SECONDS = 5.0
REMOTE_MS = 30 * 60_000  # without a word from its server a user elsewhere counts as offline
REPEAT_MS = 25 * 60_000  # so often we say that somebody is still online
MAX_REMOTE = 50_000
MAX_RECEIVED = 200  # updates of one EDU
CALM_SECONDS, SECONDS_PER_USER, LONGEST_SECONDS = 0.05, 0.005, 10.0

log = Logger()


@dataclass(frozen=True, slots=True)
class _Known:
    """The state of a user as of `serial`, and (users elsewhere) when their server last said so."""

    state: State
    serial: int
    heard: int


@dataclass(frozen=True)
class Policy:
    """What the operator wants."""

    enabled: bool = True
    over_federation: bool = True


class _Word(msgspec.Struct, frozen=True, array_like=True):
    """What processes tell each other of a user: what their devices say, or (elsewhere) how their server says they are."""

    user: str
    devices: dict[str, Device]
    status_msg: str | None
    last_active: int | None
    elsewhere: State | None
    serial: int


class Presence:
    """How all users are."""

    def __init__(
        self, database: Database, clock: Clock, name: ServerName, edus: Edus, policy: Policy = Policy(), bus: Bus = Alone()
    ) -> None:
        self.serial = clock.now() * 1000
        self._bus = bus
        bus.subscribe(EDU, self._hear)
        bus.greet(self._all)
        bus.when_gone(self._take_over)
        self._database, self._clock, self._name, self._edus, self._policy = database, clock, name, edus, policy
        self._locals: dict[str, Local] = {}
        self._known: dict[str, _Known] = {}
        self._changed: dict[str, bool] = {}  # user -> whether this process tells other servers
        self._told: dict[str, tuple[str, str | None, int]] = {}
        self._flush_call: DelayedCall | None = None
        self._sweep_call: DelayedCall | None = None

    # --- what users do ----------------------------------------------------------------------------------------------------------

    def put(self, user: UserID, device: str | None, presence: str, status_msg: str | None) -> None:
        """A user says how they are.  Raises `InvalidParam`."""
        if presence not in STATES:
            raise InvalidParam("presence must be online, offline, unavailable or busy")
        if status_msg is not None and len(status_msg) > MAX_STATUS:
            raise InvalidParam(f"status_msg has at most {MAX_STATUS} characters")
        self._say(user, device, presence, LEFT_MS * 2, active=presence in (ONLINE, BUSY), status=(status_msg,))

    def seen(self, user: UserID, device: str | None, presence: str = ONLINE, lasts: float = 30.0) -> None:
        """A device polls, for `lasts` seconds; `offline` says that this shall not be noticed."""
        if presence != OFFLINE and presence in STATES:
            known = self._locals.get(user)
            said = known.devices.get(device or "") if known else None
            # Who is busy does not stop to be because a client polls as ever.
            still_busy = said is not None and said.presence == BUSY and presence == ONLINE
            came = known is None or not known.devices
            self._say(user, device, BUSY if still_busy else presence, int(lasts * 1000) + LEFT_MS, active=came and presence == ONLINE)

    def active(self, user: UserID) -> None:
        """A user did something that only somebody who is there does: sent a message, read one.  Who is offline stays so."""
        local = self._locals.get(user)
        if local is None or not local.devices:
            return
        now = self._clock.now()
        local.last_active, local.here = now, True
        for said in local.devices.values():
            said.presence = ONLINE if said.presence == UNAVAILABLE else said.presence
        self._set(user, local.state(now))
        self._say_on(user, local)

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted: who sent it is active, who joined is to be seen."""
        event = stored.event
        if event.type == "m.room.member" and event.membership == "join" and event.state_key is not None:
            txn.on_commit(self.joined, event.state_key)
        elif event.state_key is None and event.sender.domain == self._name:
            txn.on_commit(self.active, event.sender)

    def _say(
        self, user: UserID, device: str | None, presence: str, lasts: int, *, active: bool, status: tuple[str | None] | None = None
    ) -> None:
        if not self._policy.enabled:
            return
        now = self._clock.now()
        local = self._locals.setdefault(user, Local())
        local.here = True
        local.devices[device or ""] = Device(presence, now + lasts)
        if active:
            local.last_active = now
        if status is not None:
            local.status_msg = status[0]
        self._set(user, local.state(now))
        self._say_on(user, local)
        if self._sweep_call is None:
            self._sweep_call = self._clock.later(SWEEP_SECONDS, self._sweep)

    # --- what others see --------------------------------------------------------------------------------------------------------

    async def of_user(self, viewer: UserID, user: UserID) -> dict[str, Any]:
        """How a user is, for one who shares a room with them; raises `Forbidden` for others."""
        if viewer != user and user not in await self._database.read(sharing.among, viewer, [user]):
            raise Forbidden("You are not allowed to see their presence")
        known = self._known.get(user)
        return (known.state if known else UNKNOWN).content(self._clock.now())

    def since(self, txn: Transaction, viewer: str, serial: int, fresh_rooms: Iterable[str] = ()) -> list[dict[str, Any]]:
        """`m.presence` events of those who share a room with `viewer` and have changed since `serial`; 0: all but the offline.

        `fresh_rooms` are rooms that the viewer has just come to: of their members everybody is told who is not offline.
        """
        if not self._policy.enabled:
            return []
        known = dict(self._known)
        changed = [user for user, one in known.items() if one.serial > serial and (serial or one.state.presence != OFFLINE)]
        shown = sharing.among(txn, viewer, changed) if changed else set()
        shown |= {viewer} & set(changed)
        rooms = list(fresh_rooms)
        if rooms and serial:
            there = [user for user, one in known.items() if one.state.presence != OFFLINE]
            shown |= sharing.members_of(txn, rooms, there)
        now = self._clock.now()
        return [{"type": "m.presence", "sender": user, "content": known[user].state.content(now)} for user in sorted(shown)]

    def quiet_since(self, serial: int) -> bool:
        """Whether nobody at all has changed since `serial`."""
        return self.serial <= serial or not self._policy.enabled

    def changes(self, serial: int) -> dict[str, dict[str, Any]]:
        """The state, as content of `m.presence`, of everybody who has changed since `serial`; who may hear of whom is asked elsewhere."""
        now = self._clock.now()
        known = dict(self._known) if self._policy.enabled else {}
        return {user: one.state.content(now) for user, one in known.items() if one.serial > serial}

    def joined(self, user: str) -> None:
        """A user has come to a room: those who are there have to hear how they are."""
        known = self._known.get(user)
        if known is not None and known.state.presence != OFFLINE:
            self._told.pop(user, None)
            self._store(user, known.state)

    # --- other servers ------------------------------------------------------------------------------------------------------------

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Another server says how its users are.  spec: server-server-api#presence"""
        updates = content.get("push")
        if not isinstance(updates, list) or not self._policy.enabled or not self._policy.over_federation:
            return
        now = self._clock.now()
        found = dict(one for update in updates[:MAX_RECEIVED] for one in _received(origin, update, now))
        if not found:
            return
        for user in await self._database.read(sharing.joined_anywhere, list(found)):
            self._set_remote(user, found[user])
            self._publish(_Word(str(user), {}, None, None, found[user], self.serial))

    def _set_remote(self, user: str, state: State) -> None:
        if user in self._known or len(self._known) < MAX_REMOTE:
            self._set(user, state)
        if self._sweep_call is None:
            self._sweep_call = self._clock.later(SWEEP_SECONDS, self._sweep)

    # --- other processes ----------------------------------------------------------------------------------------------------------

    def _say_on(self, user: str, local: Local) -> None:
        """Tell the other processes, unless they would learn next to nothing."""
        now = self._clock.now()
        news = local.gist(now)
        if news != local.told:
            local.told = news
            self._publish(self._word(user, local))

    def _word(self, user: str, local: Local) -> _Word:
        return _Word(str(user), local.devices, local.status_msg, local.last_active, None, self.serial)

    def _publish(self, word: _Word) -> None:
        self._bus.publish(EDU, msgspec.msgpack.encode(word))

    def _hear(self, payload: bytes) -> None:
        word = msgspec.msgpack.decode(payload, type=_Word)
        if not self._policy.enabled:
            return
        self.serial = max(self.serial, word.serial - 1)  # so that the change is not older here than there
        if word.elsewhere is not None:
            self._set_remote(word.user, word.elsewhere)
            return
        local = self._locals.setdefault(word.user, Local())
        local.devices.update(word.devices)
        local.status_msg, local.last_active, local.here, local.told = word.status_msg, word.last_active, False, None
        self._set(word.user, local.state(self._clock.now()))
        if self._sweep_call is None:
            self._sweep_call = self._clock.later(SWEEP_SECONDS, self._sweep)

    def _all(self) -> list[tuple[str, bytes]]:
        """What a process that comes has to know."""
        words = [self._word(user, local) for user, local in self._locals.items()]
        words += [_Word(str(user), {}, None, None, one.state, one.serial) for user, one in self._known.items() if user not in self._locals]
        return [(EDU, msgspec.msgpack.encode(word)) for word in words]

    def _take_over(self) -> None:
        """A process is gone, and nobody knows which users it spoke for."""
        for local in self._locals.values():
            local.here = True

    # --- changes ------------------------------------------------------------------------------------------------------------------

    def _set(self, user: str, state: State) -> None:
        known = self._known.get(user)
        if (known.state if known else UNKNOWN).differs(state):
            self._store(user, state)
        elif known is not None:
            self._known[user] = _Known(state, known.serial, self._clock.now())

    def _store(self, user: str, state: State) -> None:
        self.serial = max(self.serial + 1, self._clock.now() * 1000)
        self._known[user] = _Known(state, self.serial, self._clock.now())
        local = self._locals.get(user)
        self._changed[user] = local is None or local.here
        if self._flush_call is None:
            wait = min(CALM_SECONDS + SECONDS_PER_USER * len(self._locals), LONGEST_SECONDS)
            self._flush_call = self._clock.later(wait, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        changed, self._changed = self._changed, {}
        Deferred.fromCoroutine(self._tell(changed)).addErrback(lambda failure: log.failure("Presence could not be told", failure))

    async def _tell(self, changed: Mapping[str, bool]) -> None:
        self._database.wakeups.fire({*await self._database.read(sharing.rooms_of, changed), *changed, "presence"})
        ours = [user for user, told_here in changed.items() if told_here and user.endswith(":" + self._name) and self._is_news(user)]
        if not ours or not self._policy.over_federation:
            return
        now = self._clock.now()
        for user, servers in (await self._database.read(sharing.servers, ours)).items():
            update = {"user_id": user, "last_active_ago": 0, **self._known[user].state.content(now)}
            self._edus.send(servers - {self._name}, EDU, {"push": [update]}, user)

    def _is_news(self, user: str) -> bool:
        """Whether other servers have to hear of it: not of every minute in which somebody does nothing."""
        state = self._known[user].state
        told = self._told.get(user, (OFFLINE, None, 0))
        self._told[user] = (state.presence, state.status_msg, self._clock.now())
        return told[:2] != (state.presence, state.status_msg) or told[2] < self._clock.now() - ACTIVE_MS

    def _sweep(self) -> None:
        """Look who has gone, who does nothing, and whom their server has forgotten."""
        self._sweep_call = None
        now = self._clock.now()
        for user, local in list(self._locals.items()):
            self._set(user, local.state(now))
            if not local.devices and local.status_msg is None:
                del self._locals[user]
            elif local.devices and self._told.get(user, ("", None, now))[2] < now - REPEAT_MS:
                self._store(user, local.state(now))
        for user, known in list(self._known.items()):
            if user not in self._locals:
                self._expire(user, known, now)
        if self._known:
            self._sweep_call = self._clock.later(SWEEP_SECONDS, self._sweep)

    def _expire(self, user: str, known: _Known, now: int) -> None:
        if known.heard < now - REMOTE_MS and known.state.presence != OFFLINE:
            self._set(user, State(OFFLINE, known.state.status_msg, known.state.last_active))
        elif known.heard < now - REMOTE_MS:
            del self._known[user]
            self._told.pop(user, None)

    def start(self) -> None:
        """Nothing is to be done before somebody comes."""

    async def stop(self) -> None:
        """Say nothing more."""
        for call in (self._flush_call, self._sweep_call):
            if call is not None and call.active():
                call.cancel()


def _received(origin: ServerName, update: Any, now: int) -> list[tuple[str, State]]:
    """One update, if it is well formed and about a user of its server."""
    if not isinstance(update, dict) or update.get("presence") not in STATES:
        return []
    try:
        user = UserID.parse(update.get("user_id", ""))
    except Malformed:
        return []
    ago, status, active = update.get("last_active_ago"), update.get("status_msg"), update.get("currently_active")
    last = now - ago if type(ago) is int and 0 <= ago <= now else None
    text = status[:MAX_STATUS] if isinstance(status, str) and "\0" not in status else None
    return [(user, State(update["presence"], text, last, active is True))] if user.domain == origin else []
