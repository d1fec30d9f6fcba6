"""From events to pushes: looks through the stream of accepted events for users with pushers whose rules notify them.

Not in the transaction that writes an event, so that a message costs its sender the same however many phones it will ring.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from homeserver.push import reading
from homeserver.push.conditions import Occasion, Reader
from homeserver.push.unread import may_notify
from homeserver.push.verdicts import Verdict
from homeserver.storage import account_data, events, notable, pushers, rooms
from homeserver.storage.events import Stored
from homeserver.storage.positions import LARGEST, SHIFT, Token
from homeserver.storage.pushers import Waiting
from homeserver.storage.transactions import Transaction

BATCH = 300  # events that are looked at in one transaction
MAX_AGE_MS = 24 * 60 * 60_000  # who was away for longer than that is not rung for it


@dataclass(frozen=True, slots=True)
class Spread:
    """What was found, and how far the stream was looked through."""

    pushes: list[tuple[int, Waiting]]
    upto: Token
    more: bool


def spread(txn: Transaction, since: Token, upto: Token, now: int) -> Spread:
    """The pushes for events after `since`."""
    nums: list[int] = []
    seen = since
    for low, high in since.ranges(upto):
        rows = pushers.stream(txn, low, high, BATCH - len(nums))
        nums += [num for _, num in rows]
        if len(nums) >= BATCH:
            last = rows[-1][0]
            return Spread(_pushes(txn, nums, now), seen.advanced(last >> SHIFT, last & LARGEST), True)
        seen = seen.advanced(high >> SHIFT, high & LARGEST)
    return Spread(_pushes(txn, nums, now), seen, False)


def _pushes(txn: Transaction, nums: list[int], now: int) -> list[tuple[int, Waiting]]:
    found = events.by_number(txn, nums)
    listening = pushers.of_members(txn, {stored.event.room_id for stored in found.values()}) if found else {}
    pushes = []
    for num in nums:
        stored = found[num]
        users = listening.get(stored.event.room_id)
        if users and stored.event.origin_server_ts > now - MAX_AGE_MS:
            concerned = notified(txn, stored, users)
            pushes += [(id, Waiting(num, stored.event.room_id, now)) for user in concerned for id in users[user]]
    return pushes


def invited(txn: Transaction, stored: Stored, now: int) -> None:
    """An invite came for a user of this server, to a room that is elsewhere: it is in no timeline here, but it shall ring."""
    waiting = Waiting(stored.num, stored.event.room_id, now)
    pushers.post(txn, [(one.id, waiting) for one in pushers.of_user(txn, str(stored.event.state_key)) if one.enabled])
    txn.wake("push")


def notified(txn: Transaction, stored: Stored, users: Iterable[str]) -> dict[str, Verdict]:
    """Those of the users, members or invited, whose rules notify them of the event, each with the verdict."""
    event = stored.event
    others = [user for user in users if user != event.sender]
    if not others:
        return {}
    room = rooms.get(txn, event.room_id)  # None for one to which somebody is invited from elsewhere
    names = notable.local_names(txn, event.room_id, others)
    invited = event.type == "m.room.member" and event.membership == "invite"
    occasion = Occasion(event, room.joined_members if room else 0, lambda key: room is not None and may_notify(txn, room, stored, key))
    found = {}
    for user, own in reading.rules_of(txn, others).items():
        # Who was invited hears of that, and of nothing else until they join.
        if user in names or (invited and event.state_key == user):
            verdict = own.judge(occasion, Reader(user, names.get(user)))
            if verdict.effect.notify:
                found[user] = verdict
    return {user: verdict for user, verdict in found.items() if event.sender not in ignored_by(txn, user)}


def ignored_by(txn: Transaction, user: str) -> frozenset[str]:
    """Whom a user does not want to hear.  spec: client-server-api#ignoring-users"""
    raw = account_data.get(txn, user, "", "m.ignored_user_list")
    content = orjson.loads(raw) if raw is not None else {}
    ignored = content.get("ignored_users") if isinstance(content, dict) else None
    return frozenset(ignored) if isinstance(ignored, dict) else frozenset()
