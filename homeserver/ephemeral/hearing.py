"""Messages of ephemeral rooms that other servers forward.  Each is checked like an event, told to who is there, and never passed on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.ephemeral import messages
from homeserver.ephemeral.ordering import Numbered, Ordering
from homeserver.ephemeral.speaking import Speaking
from homeserver.errors import Refused
from homeserver.events.drafts import Draft
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.federation.keyring import Keyring
from homeserver.rooms import visibility
from homeserver.rooms.acl import Admits
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True)
class Hearing:
    """Takes what other servers forward."""

    speaking: Speaking
    keyring: Keyring
    ordering: Ordering
    admits: Admits

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """A message of a user of `origin`; what is not as it must be is dropped without a word."""
        room, data = content.get("room_id"), content.get("event")
        if not isinstance(room, str) or not isinstance(data, dict):
            return
        try:
            room_id = RoomID.parse(room)
            version = await self.speaking.database.read(visibility.version, room_id, origin)
            if version is None or version.keeps_messages:
                return
            event, mark = messages.read(version, data, room_id)
            if event.sender.domain != origin or event.event_id in self.speaking.senders:
                return
            if not await self.speaking.database.read(self._may, origin, event):
                return
            await self.keyring.verify_event(event)
        except (Malformed, Refused, BadSignature):
            return
        size = len(event.body) + len(event.envelope)
        self.ordering.put(Numbered(origin, (mark.source, room_id), mark.number, size, lambda: self._tell(event)))

    def _tell(self, event: Event) -> None:
        if event.event_id not in self.speaking.senders:
            self.speaking.forward(event, event.sender.domain)

    def _may(self, txn: Transaction, origin: ServerName, event: Event) -> bool:
        draft = Draft(event.type, event.sender, event.content, redacts=event.redacts)
        return self.admits(txn, event.room_id, origin) and self.speaking.may_say(txn, event.room_id, draft) is not None
