"""What a swarm is: its mode, its profile, who its admins are.  Writes nothing."""

from dataclasses import dataclass
from typing import Any

from homeserver.events.drafts import said
from homeserver.events.identifiers import UserID
from homeserver.events.standing import CREATE, POWER_LEVELS
from homeserver.events.swarm import profiles
from homeserver.events.swarm.admins import admins
from homeserver.storage import members, state
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.swarm import finding


@dataclass(frozen=True)
class About:
    """Reads it, for members."""

    database: Database

    async def of(self, user: UserID, room_id: str) -> dict[str, Any]:
        """Mode, profile and admins of a swarm.  Raises what `finding.joined` raises."""
        return await self.database.read(_about, user, room_id)


def _about(txn: Transaction, user: UserID, room_id: str) -> dict[str, Any]:
    room = finding.joined(txn, room_id, user)
    view = state.view(txn, room.state_root, [CREATE, POWER_LEVELS, profiles.KEY])
    create = view[CREATE].content
    named = sorted(admins(view))
    standing = {admin: members.get(txn, room.room_id, UserID(admin)) for admin in named}
    return {
        "room_id": room.room_id,
        "room_version": room.version.id,
        "mode": create["mode"],
        **({"invited": create["invited"]} if "invited" in create else {}),
        "profile": said(view[profiles.KEY].content) if profiles.KEY in view else {},
        "admins": [
            {"user_id": admin, "membership": one.membership if one is not None else "leave"} for admin, one in standing.items()
        ],
    }
