"""Invites that servers of ours show before their users join.  docs/flows/joining.md#proof-of-an-invite"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events.identifiers import EventID, RoomID
from homeserver.events.vendor import FEDERATION
from homeserver.membership.proofs import Proofs
from homeserver.web.callers import Origin
from homeserver.web.routes import post

MOST_BYTES = 128 * 1024


class Proof(msgspec.Struct):
    """The whole signed invite, and the version by which it is to be read."""

    room_version: str
    event: dict[str, Any]


@dataclass(frozen=True)
class InviteProofs:
    """Proof of invites of users of other servers to rooms of ours."""

    proofs: Proofs

    @post(FEDERATION + "/prove_invite/{room_id}/{event_id}", limit="federation", max_body=MOST_BYTES)
    async def prove_invite(self, origin: Origin, room_id: RoomID, event_id: EventID, body: Proof) -> None:
        """Show the invite of a user who is about to join."""
        await self.proofs.show(origin, body.room_version, room_id, event_id, body.event)
