"""Local users speak in ephemeral rooms.  A 200 means forwarded: to who is there, and on its way to the other servers; nothing is kept.

Nothing here goes to a writer of the database, and no message, not even a part of one, into a log.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from homeserver.clock import Clock
from homeserver.ephemeral import messages
from homeserver.ephemeral.latest import Count, Latest
from homeserver.ephemeral.messages import EDU, Mark, Spoken
from homeserver.errors import Forbidden
from homeserver.events.drafts import Draft
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.events.versions import RoomVersion
from homeserver.federation.volatile import Edus
from homeserver.identity import Identity
from homeserver.live.ring import TIMELINE, Ring, Said
from homeserver.rooms import powers, visibility
from homeserver.rooms.timeline import Sender
from homeserver.storage import members, rooms
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True)
class Speaking:
    """Takes messages, and forwards them."""

    database: Database
    clock: Clock
    identity: Identity
    live: Ring
    edus: Edus
    source: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    senders: Latest = field(default_factory=Latest)
    """Event id -> sender, of the latest messages: for redactions, and so that each is heard once."""
    _sent: Latest = field(default_factory=Latest)
    _numbers: Count = field(default_factory=Count)

    async def takes(self, room_id: RoomID, who: UserID | ServerName) -> bool:
        """Whether what is said in the room is forwarded only; not to say to who may not know of the room.  Mostly in memory."""
        version = visibility.remembered_version(self.database.memory, room_id, who)
        version = version or await self.database.read(visibility.version, room_id, who)
        return version is not None and not version.keeps_messages

    async def say(self, room_id: RoomID, draft: Draft, sender: Sender | None) -> EventID:
        """Forward a message; the same transaction again, within a while, does nothing.  Raises `Forbidden` or `Malformed`."""
        messages.check(draft)
        key = None if sender is None else _key(room_id, draft.type, f"{draft.sender}/{sender.device_id}", sender.txn_id)
        if key is None or key not in self._sent:
            version, servers = await self.database.read(self._admit, room_id, draft)
        # Asked after the wait: the same may have been said meanwhile.
        if key is not None and key in self._sent:
            return EventID(self._sent[key])
        mark = Mark(secrets.token_urlsafe(16), self.source, self._numbers.next(room_id))
        data = self.identity.sign_event(version, messages.complete(version, draft, room_id, mark, self.clock.now()))
        event, _ = messages.read(version, data, room_id)
        device, txn_id = ("", None) if sender is None else (f"{draft.sender}/{sender.device_id}", sender.txn_id)
        self.forward(event, draft.sender, device, txn_id)
        self.edus.send(servers, EDU, {"room_id": room_id, "event": data}, event.event_id)
        return event.event_id

    def forward(self, event: Event, by: str, device: str = "", txn_id: str | None = None) -> None:
        """Tell who is there, on this server.  `by`: the user here, or the other server, that it is counted for."""
        self._remember(by, event.room_id, Spoken(event.event_id, event.type, event.sender, device, txn_id))
        self.live.say(TIMELINE, event.room_id, messages.shown(event, device, txn_id), by)

    def overhear(self, said: Said) -> None:
        """Another process of this server has forwarded something: a repeated transaction may come here, or a redaction."""
        if said.kind == TIMELINE:
            self._remember(said.by, said.key, messages.spoken(said.raw))

    def _remember(self, by: str, room_id: str, spoken: Spoken) -> None:
        self.senders.remember(by, spoken.event_id, spoken.sender)
        if spoken.txn_id is not None:
            self._sent.remember(by, _key(room_id, spoken.type, spoken.device, spoken.txn_id), spoken.event_id)

    def may_say(self, txn: Transaction, room_id: RoomID, draft: Draft) -> RoomVersion | None:
        """The room's version, if the sender may say that in the room as it is now."""
        room = rooms.get(txn, room_id)
        if room is None or room.version.keeps_messages or not members.is_joined(txn, room_id, draft.sender):
            return None
        power = powers.current(txn, room)
        target = messages.target(draft)
        if target is not None and self.senders.get(target) != draft.sender and power.of(draft.sender) < power.redact:
            return None
        return room.version if power.may_send(draft.sender, draft.type, is_state=False) else None

    def _admit(self, txn: Transaction, room_id: RoomID, draft: Draft) -> tuple[RoomVersion, Sequence[ServerName]]:
        if not members.is_joined(txn, room_id, draft.sender):
            # Word for word as about a room that there is not.
            raise Forbidden(f"{draft.sender} is not in this room")
        version = self.may_say(txn, room_id, draft)
        if version is None:
            raise Forbidden("You may not say this in this room")
        return version, [server for server in rooms.joined_servers(txn, room_id) if server != self.identity.name]


def _key(room_id: str, kind: str, device: str, txn_id: str) -> bytes:
    """A transaction of an endpoint, in a few bytes however long its id is."""
    return hashlib.blake2b("\0".join((room_id, kind, device, txn_id)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
