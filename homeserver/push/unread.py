"""What each accepted event does to what is unread: numbers within threads, rows for the few whom it concerns in person.

Runs inside the transaction that writes the event.  Costs the same however many members the room has: users are found by
what the event mentions, never the other way round.  `docs/architecture.md`, "Counts".
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from homeserver.events import notable as worth
from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName, UserID
from homeserver.events.power import Power
from homeserver.push import defaults, editing, globs, reading, verdicts
from homeserver.push.conditions import Occasion, Reader
from homeserver.push.verdicts import Verdict
from homeserver.rooms import threads
from homeserver.storage import notable, push_rules, state
from homeserver.storage.events import Stored
from homeserver.storage.notable import MAIN, ROOM, Spot
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

MAX_WORDS = 1000  # of a message; what follows mentions nobody
MAX_MENTIONED = 200  # users for whom one event gets rows

CREATE, LEVELS = ("m.room.create", ""), ("m.room.power_levels", "")
PERSONAL = frozenset({defaults.USER_MENTION, defaults.DISPLAY_NAME, defaults.USER_NAME})
REASONS = {
    "m.room.tombstone": verdicts.TOMBSTONE, "m.call.invite": verdicts.CALL, worth.POLL_START: verdicts.POLL, worth.POLL_END: verdicts.POLL,
}  # fmt: skip
_ROOM_TEXT = globs.compiled("@room")


Ordinary = Callable[[Transaction, Stored], None]


def _nobody_asks(txn: Transaction, stored: Stored) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Unread:
    """What is unread by the users of the server `name`; `ordinary` is told of each event that adds the same for all its readers."""

    name: ServerName
    ordinary: Ordinary = _nobody_asks

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted: `room` is as it is with it."""
        event = stored.event
        assert stored.order is not None
        txn.wake("push")
        if event.type == "m.room.member":
            self._member(txn, room, stored)
            return
        dropped = event.redacts is not None and notable.drop_redacted(txn, room.room_id, event.redacts)
        counted = stored.notable is not None
        thread = threads.thread_of(txn, event) if counted else worth.thread_root(event.content) or MAIN
        if counted and thread != MAIN:
            notable.add_to_thread(txn, stored, thread)
        reason = concerns_all(txn, room, stored)
        if reason:
            notable.add_room_highlight(txn, room.room_id, Spot(stored.num, thread, stored.order, counted, reason=reason))
        personal = self._concerns_some(txn, room, stored, thread)
        if event.sender.domain == self.name:
            self._read_by_sender(txn, room, stored, thread)
        if not (personal or reason or dropped) and (not counted or worth.relation(event.content)[0] is None):
            self.ordinary(txn, stored)

    def _member(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """A local user came, went or changed names."""
        event = stored.event
        user = UserID(event.state_key or "")
        if user.domain != self.name or state.get(txn, room.state_root, stored.key) != stored.num:
            return
        if event.membership != "join":
            push_rules.set_member_words(txn, room.room_id, user, [])
            notable.forget(txn, user, room.room_id)
            return
        shown = event.content.get("displayname")
        names = (user.localpart, shown if isinstance(shown, str) and "\0" not in shown else "")
        push_rules.set_member_words(txn, room.room_id, user, [words for name in names if name and (words := globs.keywords(name))])
        predecessor = replaced_by(txn, room)
        if predecessor is not None and ROOM not in notable.marks(txn, user, [room.room_id]).get(room.room_id, {}):
            editing.carry_over(txn, user, predecessor, room.room_id)
        assert stored.order is not None
        notable.begin(txn, user, room.room_id, stored.order, room.notable)

    def _read_by_sender(self, txn: Transaction, room: Room, stored: Stored, thread: str) -> None:
        event = stored.event
        if event.state_key is not None or event.redacts is not None or (stored.notable is None and worth.relation(event.content)[1]):
            return
        assert stored.order is not None
        if thread == MAIN:
            notable.mark_own_event(txn, event.sender, room.room_id, stored.order, room.notable)
        else:
            notable.move(txn, event.sender, room.room_id, thread, stored.order)

    def _concerns_some(self, txn: Transaction, room: Room, stored: Stored, thread: str) -> bool:
        """Write what the event means to those whom it mentions; whether there may be any."""
        event = stored.event
        concerned = self._candidates(txn, event) - {event.sender}
        if not concerned:
            return False
        names = notable.local_names(txn, room.room_id, concerned)
        occasion = Occasion(event, room.joined_members, lambda key: may_notify(txn, room, stored, key))
        assert stored.order is not None
        for user, own in reading.rules_of(txn, names).items():
            verdict = own.judge(occasion, Reader(user, names[user]))
            if is_personal(verdict):
                notify, highlight = verdict.effect
                spot = Spot(stored.num, thread, stored.order, stored.notable is not None, notify, highlight)
                notable.add_highlight(txn, user, room.room_id, spot)
        return True

    def _candidates(self, txn: Transaction, event: Event) -> set[str]:
        """Local users whom the event may mean, as far as can be told without looking at their rules."""
        found = set(self._mentioned(event))
        body = event.content.get("body")
        if isinstance(body, str):
            found.update(push_rules.users_with_words(txn, event.room_id, globs.words(body, MAX_WORDS), MAX_MENTIONED))
        return found

    def _mentioned(self, event: Event) -> Collection[str]:
        mentions = event.content.get("m.mentions")
        users = mentions.get("user_ids") if isinstance(mentions, dict) else None
        if not isinstance(users, list):
            return ()
        ours = ":" + self.name
        return [user for user in users if isinstance(user, str) and user.endswith(ours) and "\0" not in user][:MAX_MENTIONED]


def replaced_by(txn: Transaction, room: Room) -> str | None:
    """The room that this one says to replace.  spec: client-server-api#room-upgrades"""
    create = state.view(txn, room.state_root, [CREATE]).get(CREATE)
    predecessor = create.content.get("predecessor") if create is not None else None
    old = predecessor.get("room_id") if isinstance(predecessor, dict) else None
    return old if isinstance(old, str) and old != room.room_id else None


def is_personal(verdict: Verdict) -> bool:
    """Whether the rule that decided is one that not all members have, about what the event says or whom it mentions."""
    rule = verdict.rule
    return rule is not None and (rule.rule_id in PERSONAL or (not rule.default and rule.kind in ("override", "content", "underride")))


def concerns_all(txn: Transaction, room: Room, stored: Stored) -> int:
    """Why an event concerns all members alike, or 0."""
    event, content = stored.event, stored.event.content
    if str(content.get("msgtype")).lower() == "m.notice":
        return 0
    if "m.mentions" in content:
        mentions = content["m.mentions"]
        reason = verdicts.ROOM_MENTION if isinstance(mentions, dict) and mentions.get("room") is True else 0
    else:
        reason = verdicts.ROOM_TEXT if _says_room(content.get("body")) else 0
    if reason and may_notify(txn, room, stored, "room"):
        ordinary = stored.notable is not None and event.type in ("m.room.message", "m.room.encrypted")
        return reason if ordinary else verdicts.ODD
    return REASONS.get(event.type.lower(), 0) if stored.notable is not None else 0


def _says_room(body: object) -> bool:
    return isinstance(body, str) and "@room" in body.lower() and _ROOM_TEXT.is_within(body)


def may_notify(txn: Transaction, room: Room, stored: Stored, key: str) -> bool:
    """Whether the sender of an event had the power to notify `key`.  spec: client-server-api#mroompower_levels"""
    view = state.view(txn, stored.state_before or room.state_root, [CREATE, LEVELS])
    power = Power(room.version, view.get(CREATE), view.get(LEVELS))
    return power.of(stored.event.sender) >= power.notification(key)
