"""Of what a user was, or would have been, notified: `GET /notifications`.  Sends nothing."""

from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.events.notable import thread_root
from homeserver.push import reading
from homeserver.push.conditions import Occasion, Reader
from homeserver.push.unread import may_notify
from homeserver.push.verdicts import Compiled, Verdict
from homeserver.rooms import presenting, visibility
from homeserver.rooms.presenting import Viewer
from homeserver.storage import events, notable, rooms
from homeserver.storage.events import Stored
from homeserver.storage.notable import MAIN, NO_MARK, ROOM
from homeserver.storage.transactions import Transaction

RECENT = 200  # events of each room that are looked at for plain notifications; mentions are found however old they are


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the list is wanted: `before` is an event number."""

    limit: int
    before: int | None
    highlights: bool


def notified(txn: Transaction, viewer: Viewer, page: Page) -> tuple[list[dict[str, Any]], int | None]:
    """Notifications, the newest first, and where the next page begins, if there is more."""
    user = viewer.user_id
    own = reading.rules_of(txn, [user])[user]
    found: list[dict[str, Any]] = []
    before = page.before
    while True:
        nums = notable.latest(txn, user, before, page.limit, None if page.highlights else RECENT)
        by_number = events.by_number(txn, nums)
        for num in nums:
            verdict = _verdict(txn, viewer, own, by_number[num])
            if verdict is not None and (verdict.effect.highlight or not page.highlights):
                found.append(_shown(txn, viewer, by_number[num], verdict))
            before = num
            if len(found) == page.limit:
                return found, before
        if len(nums) < page.limit:
            return found, None


def _verdict(txn: Transaction, viewer: Viewer, own: Compiled, stored: Stored) -> Verdict | None:
    """What the user's rules say of an event they may see; None where they say nothing of it."""
    user, event = viewer.user_id, stored.event
    room = rooms.get(txn, event.room_id)
    if room is None or event.sender == user or not visibility.shown_to_user(txn, user, [stored]):
        return None
    names = notable.local_names(txn, event.room_id, [user])
    occasion = Occasion(event, room.joined_members, lambda key: may_notify(txn, room, stored, key))
    verdict = own.judge(occasion, Reader(user, names.get(user)))
    return verdict if verdict.effect.notify else None


def _shown(txn: Transaction, viewer: Viewer, stored: Stored, verdict: Verdict) -> dict[str, Any]:
    event = stored.event
    marks = notable.marks(txn, viewer.user_id, [event.room_id]).get(event.room_id, {})
    thread = thread_root(event.content) or MAIN
    read = max(marks.get(ROOM, NO_MARK).order, marks.get(thread, NO_MARK).order)
    return {
        "actions": list(verdict.actions),
        "event": orjson.Fragment(presenting.present(txn, viewer, [stored.line], room_id=False)[0]),
        "profile_tag": None,
        "read": stored.order is not None and stored.order <= read,
        "room_id": event.room_id,
        "ts": event.origin_server_ts,
    }
