"""Events that are sent later, unless somebody says otherwise in time.  Asks no other server.  MSC4140

An event is sent once: who sends it claims it first, and sends it as a transaction of its own that the room remembers.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from twisted.logger import Logger

from homeserver.errors import Forbidden, InvalidParam, NotFound, Refused
from homeserver.events import canonical, drafts
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied, Malformed
from homeserver.events.identifiers import UserID
from homeserver.rooms.timeline import Sender, Timeline
from homeserver.storage import accounts, delayed_events, members, rooms
from homeserver.storage.delayed_events import CANCELLED, FAILED, SENDING, SENT, WAITING, Delayed
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction
from homeserver.work import Work, all_due

WORK = "delayed_events"
MOST_OF_USER = 100
AT_ONCE = 50
STUCK_MS = 60_000
KEPT_MS = 24 * 3600 * 1000
PREFIX = "org.matrix.msc4140"

log = Logger()


def observe(now: Callable[[], int]) -> Callable[[Transaction, Room, Stored], None]:
    """Who must see each event: state that somebody sets ends the wishes of others to set it later."""

    def see(txn: Transaction, room: Room, stored: Stored) -> None:
        event = stored.event
        if event.state_key is not None:
            delayed_events.supersede(txn, room.room_id, event.type, event.state_key, event.sender, now())

    return see


def account_closed(txn: Transaction, user_id: UserID, erase: bool) -> None:
    """The account ends."""
    delayed_events.cancel_all(txn, user_id)


@dataclass
class DelayedEvents:
    """What waits to be sent, and the work of sending it."""

    timeline: Timeline
    max_delay: int

    async def schedule(self, room_id: str, draft: Draft, delay: int, sender: Sender | None) -> str:
        """Have an event sent after `delay` ms; the id by which to speak of it, the same for the same transaction."""
        if delay <= 0:
            raise InvalidParam("The delay must be more than 0 ms")
        if delay > self.max_delay:
            raise _too_much("M_MAX_DELAY_EXCEEDED", f"The delay must be at most {self.max_delay} ms", max_delay=self.max_delay)
        _check(draft)
        now = self.timeline.clock.now()
        device, txn_id = (sender.device_id, sender.txn_id) if sender is not None else (draft.device or "", None)
        new = Delayed(
            secrets.token_urlsafe(18), draft.sender, device, txn_id, room_id, draft.type, draft.state_key, draft.content, delay, now
        )
        return await self.timeline.database.write(_schedule, new, draft)

    async def of_user(self, user_id: UserID) -> list[Delayed]:
        """What waits of a user."""
        return await self.timeline.database.read(delayed_events.of_user, user_id)

    async def restart(self, delay_id: str) -> None:
        """Begin the delay of an event anew."""
        await self.timeline.database.write(_restart, delay_id, self.timeline.clock.now())

    async def cancel(self, delay_id: str) -> None:
        """Never send the event."""
        await self.timeline.database.write(_move, delay_id, CANCELLED, (CANCELLED,), self.timeline.clock.now())

    async def send(self, delay_id: str) -> None:
        """Send the event now; raises what stands against it."""
        found = await self.timeline.database.write(_move, delay_id, SENDING, (SENT, SENDING), self.timeline.clock.now())
        if found is not None:
            await self._send(found)

    # --- the work -----------------------------------------------------------------------------------------

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.timeline.database.wakeups, self.look, (WORK,))

    async def look(self) -> float:
        """Send what is due; the seconds until there is more."""
        database, clock = self.timeline.database, self.timeline.clock
        wait = await all_due(clock.now, partial(database.read, delayed_events.next_due), self._take)
        await database.write(delayed_events.forget, clock.now() - KEPT_MS)
        return wait

    async def _take(self, now: int) -> None:
        for one in await self.timeline.database.write(delayed_events.claim, now, now - STUCK_MS, AT_ONCE):
            try:
                await self._send(one)
            except (Denied, Malformed, Refused) as error:
                log.info("A delayed event of {user} was not sent: {error}", user=one.user_id, error=error)

    async def _send(self, one: Delayed) -> None:
        database, now = self.timeline.database, self.timeline.clock.now()
        draft = Draft(one.type, UserID(one.user_id), one.content, one.state_key, device=one.device_id or None)
        try:
            await database.read(_check_account, one.user_id)
            await self.timeline.send(one.room_id, draft, Sender(WORK, one.delay_id))
        except (Denied, Malformed, Refused):
            await database.write(delayed_events.change, one.delay_id, SENDING, FAILED, now)
            raise
        await database.write(delayed_events.change, one.delay_id, SENDING, SENT, now)


def _schedule(txn: Transaction, new: Delayed, draft: Draft) -> str:
    known = delayed_events.by_transaction(txn, new) if new.txn_id is not None else None
    if known is not None:
        return known
    if not members.is_joined(txn, new.room_id, new.user_id):
        raise Forbidden(f"{new.user_id} is not in room {new.room_id}")
    version = rooms.version(txn, new.room_id)
    if version is not None:
        drafts.content_of(version, draft)  # raises where a device is missing
    if delayed_events.count(txn, new.user_id) >= MOST_OF_USER:
        raise _too_much("M_MAX_DELAYED_EVENTS_EXCEEDED", f"At most {MOST_OF_USER} events of a user may wait")
    delayed_events.add(txn, new)
    txn.wake(WORK)
    return new.delay_id


def _restart(txn: Transaction, delay_id: str, now: int) -> None:
    if not delayed_events.restart(txn, delay_id, now):
        raise _gone(txn, delay_id)
    txn.wake(WORK)


def _move(txn: Transaction, delay_id: str, status: str, fine: tuple[str, ...], now: int) -> Delayed | None:
    """What was moved from waiting to `status`; None if it is in one of the `fine` states already."""
    if delayed_events.change(txn, delay_id, WAITING, status, now):
        found = delayed_events.get(txn, delay_id)
        assert found is not None
        return replace(found, status=status)
    known = delayed_events.get(txn, delay_id)
    if known is not None and known.status in fine:
        return None
    raise _gone(txn, delay_id)


def _gone(txn: Transaction, delay_id: str) -> Refused:
    known = delayed_events.get(txn, delay_id)
    if known is None:
        return NotFound("There is no such delayed event")
    return Refused(409, "M_UNKNOWN", f"The delayed event is {known.status} already")


def _check_account(txn: Transaction, user_id: str) -> None:
    account = accounts.get(txn, user_id)
    if account is None or account.deactivated or account.suspended or account.locked:
        raise Forbidden("The account may not send events")


def _check(draft: Draft) -> None:
    """Refuse what needs more than the room's rules to be decided when its time has come."""
    canonical.encode(draft.content)
    leaves = draft.state_key == draft.sender and draft.content.get("membership") == "leave"
    if draft.type == "m.room.redaction" or (draft.type == "m.room.member" and draft.state_key is not None and not leaves):
        raise InvalidParam("Redactions, and memberships but for one's own leave, cannot be delayed")


def _too_much(errcode: str, sentence: str, **more: int) -> Refused:
    refused = Refused(400, "M_UNKNOWN", sentence)
    refused.extra |= {f"{PREFIX}.errcode": errcode} | {f"{PREFIX}.{name}": value for name, value in more.items()}
    return refused
