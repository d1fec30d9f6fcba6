"""What `/sync` tells beside the rooms' events: messages to the device, keys, counts.  Reads only what is below it."""

from dataclasses import dataclass
from typing import Any

from homeserver.keys import changes as keys
from homeserver.push import counting
from homeserver.push.counting import RoomCounts
from homeserver.storage import one_time_keys, to_device
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.sync.answer import Beside
from homeserver.sync.changes import Changes, Question
from homeserver.sync.token import SyncToken


@dataclass(frozen=True, slots=True)
class Live:
    """The serials of what is in memory only, taken before the database is read: what comes later comes again."""

    typing: int = 0
    presence: int = 0


@dataclass(frozen=True)
class Sources:
    """Where it all comes from."""

    database: Database

    def live(self) -> Live:
        """The serials as they are now."""
        return Live()

    async def acknowledge(self, user_id: str, device_id: str, inbox: int) -> None:
        """The device came back with a token: it has the messages that went with it."""
        if await self.database.read(to_device.any_waiting, user_id, device_id):
            await self.database.write(to_device.acknowledge, user_id, device_id, inbox)

    async def seen(self, user_id: str, device_id: str | None, state: str) -> None:
        """A device asks for news, and says how its user is."""

    def read(self, txn: Transaction, question: Question, since: SyncToken | None, found: Changes) -> tuple[Beside, int]:
        """What goes with `found`, and the number of the last message to the device."""
        user, device = question.viewer.user_id, question.viewer.device_id
        after = since.inbox if since else 0
        messages, inbox = to_device.waiting(txn, user, device, after) if device else ([], after)
        lists = keys.device_lists(txn, user, since.seen if since else None, found.upto)
        counted = counting.counts(txn, user, [room.room_id for room in found.joined], question.selection.ignored)
        beside = Beside(
            counts={room: _counts(count, question.selection.by_thread) for room, count in counted.items()},
            to_device=messages,
            device_changed=lists.changed,
            device_left=lists.left,
            key_counts=one_time_keys.counts(txn, user, device) if device else {},
            fallback_types=one_time_keys.unused_fallback_types(txn, user, device) if device else [],
        )
        return beside, inbox


def _counts(counted: RoomCounts, by_thread: bool) -> dict[str, Any]:
    """How much is unread, as the client asked for it: all in one number, or by thread."""
    shown = counted.main if by_thread else counted.total
    section: dict[str, Any] = {
        "unread_notifications": {"notification_count": shown.notifications, "highlight_count": shown.highlights}
    }
    if by_thread:
        section["unread_thread_notifications"] = {
            root: {"notification_count": count.notifications, "highlight_count": count.highlights}
            for root, count in counted.threads.items()
        }
    return section
