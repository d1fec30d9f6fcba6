"""What `/sync` tells beside the rooms' events: messages to the device, keys, counts.  Reads only what is below it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import UserID
from homeserver.keys import changes as keys
from homeserver.live.heard import NOTHING, Heard
from homeserver.live.ring import Ring, Said
from homeserver.presence.presence import Presence
from homeserver.presence.typing import Typing
from homeserver.push import counting
from homeserver.receipts import reading
from homeserver.storage import belongings, one_time_keys, to_device
from homeserver.storage.belongings import Belongings
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.sync.acknowledging import Acknowledged
from homeserver.sync.answer import Beside
from homeserver.sync.selection import Selection, passes, wants_room
from homeserver.sync.spoken import Spoken
from homeserver.sync.telling import Changes, Question
from homeserver.sync.token import SyncToken

MEMBERSHIPS = ("join", "invite", "knock", "leave", "ban")


@dataclass(frozen=True, slots=True)
class Live:
    """The serials of what is in memory only, taken before the database is read: what comes later comes again."""

    typing: int = 0
    presence: int = 0
    heard: Heard = NOTHING


@dataclass(frozen=True)
class Sources:
    """Where it all comes from."""

    database: Database
    typing: Typing
    presence: Presence
    acknowledged: Acknowledged
    ring: Ring

    def live(self) -> Live:
        """The serials as they are now."""
        return Live(self.typing.serial, self.presence.serial, self.ring.heard())

    def said(self, since: SyncToken | None, live: Live, keys: Iterable[str]) -> list[Said]:
        """What was said live since a token, up to `live`; who has no token has missed nothing."""
        return [] if since is None else self.ring.between(since.live, live.heard, keys)

    def seen(self, user_id: UserID, device_id: str | None, state: str, seconds: float) -> None:
        """A device asks for news, for so long, and says how its user is."""
        self.presence.seen(user_id, device_id, state, max(seconds, 30.0))

    def belongings(self, txn: Transaction, question: Question) -> Belongings:
        """What the user has, and what waits for their device: for who begins."""
        viewer = question.viewer
        shown = MEMBERSHIPS if question.selection.rooms.include_leave else MEMBERSHIPS[:3]
        device = viewer.device_id or ""
        return belongings.read(txn, viewer.user_id, device, self.acknowledged.upto(viewer.user_id, device), shown)

    def read(
        self, txn: Transaction, question: Question, since: SyncToken | None, found: Changes, spoken: Spoken, own: Belongings | None
    ) -> tuple[Beside, int]:
        """What goes with `found`, and the number of the last message to the device."""
        user, device = question.viewer.user_id, question.viewer.device_id or ""
        after = since.inbox if since else self.acknowledged.upto(user, device)
        messages, inbox = to_device.waiting(txn, user, device, after) if own is None else own.messages(after)
        lists = keys.device_lists(txn, user, since.seen if since else None, found.upto)
        selection = question.selection
        ephemeral = self._ephemeral(txn, question, since, found)
        for room_id, receipts in spoken.receipts.items():
            ephemeral.setdefault(room_id, []).extend(receipts)
        rooms = {room.room_id for room in found.joined} | ephemeral.keys() | found.room_data.keys()
        fresh = [room.room_id for room in found.joined if room.whole]
        presence = self.presence.since(txn, user, since.presence if since else 0, fresh)
        key_counts, fallback_types = one_time_keys.told(txn, user, device) if own is None else (own.key_counts, own.fallback_types)
        beside = Beside(
            ephemeral=ephemeral,
            presence=[event for event in presence if passes(selection.filter.presence, event["type"], event["sender"])],
            counts=counting.counts(txn, user, rooms, selection.ignored),
            to_device=[*messages, *spoken.mail],
            device_changed=lists.changed,
            device_left=lists.left,
            key_counts=key_counts,
            fallback_types=fallback_types,
        )
        return beside, inbox

    def typing_since(
        self, selection: Selection, serial: int, rooms: Iterable[str], ignored: frozenset[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Who types in those of the rooms where that has changed, as the events of `ephemeral`."""
        if self.typing.serial <= serial or not passes(selection.rooms.ephemeral, "m.typing", ""):
            return {}
        shown = {}
        for room, users in self.typing.since(serial, _audible(selection, rooms)).items():
            there = [one for one in users if one not in ignored]
            shown[room] = [{"type": "m.typing", "content": {"user_ids": there}}]
        return shown

    def _ephemeral(
        self, txn: Transaction, question: Question, since: SyncToken | None, found: Changes
    ) -> dict[str, list[dict[str, Any]]]:
        """Typing and receipts of the rooms that the user is in."""
        user, selection = question.viewer.user_id, question.selection
        wanted = selection.rooms.ephemeral
        fresh = [room.room_id for room in found.joined if room.whole]
        old = [room for room in _audible(selection, found.in_rooms) if room not in fresh]
        ignored = selection.ignored
        shown = {
            **self.typing_since(selection, since.typing if since else 0, old, ignored),
            **self.typing_since(selection, 0, fresh, ignored),
        }
        if passes(wanted, "m.receipt", ""):
            ranges = since.seen.ranges(found.upto) if since else []
            receipts = reading.changed(txn, user, old, ranges, selection.ignored) if ranges else {}
            receipts.update(reading.everything(txn, user, fresh, selection.ignored) if fresh else {})
            for room, content in receipts.items():
                shown.setdefault(room, []).append({"type": "m.receipt", "content": content})
        return shown


def _audible(selection: Selection, rooms: Iterable[str]) -> list[str]:
    """Those of the rooms whose typing and receipts are wanted."""
    return [room for room in rooms if wants_room(selection.rooms, room) and wants_room(selection.rooms.ephemeral, room)]
