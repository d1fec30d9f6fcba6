"""What this server can do: versions of the specification, unstable features, capabilities.  spec: client-server-api#api-versions"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.events.vendor import named
from homeserver.events.versions import VERSIONS
from homeserver.settings import Settings
from homeserver.web.callers import Caller
from homeserver.web.routes import get
from homeserver.web.types import Reply

SPECIFICATIONS = ("r0.5.0", "r0.6.0", "r0.6.1", *(f"v1.{minor}" for minor in range(1, 17)))

# Proposals that clients ask for by name.  A feature is added here by who builds it.
UNSTABLE: dict[str, bool] = {
    named("ephemeral"): True,
    named("join_links"): True,
    named("room_keys"): True,
    named("swarm"): True,
    "org.matrix.msc2285.stable": True,
    "org.matrix.msc3916.stable": True,
    "org.matrix.simplified_msc3575": True,
    "org.matrix.msc4222": True,
    "org.matrix.e2e_cross_signing": True,
    "org.matrix.msc3814": True,
    "org.matrix.msc3030": True,
    "uk.half-shot.msc2666.query_mutual_rooms": True,
    "uk.half-shot.msc2666.query_mutual_rooms.stable": True,
    "org.matrix.msc4140": True,
    "org.matrix.msc3874": True,
    "fi.mau.msc2659.stable": True,
    named("invite_proof"): True,
}


@dataclass(frozen=True)
class Versions:
    """What clients ask first."""

    settings: Settings
    features: Mapping[str, bool]

    @get("/_matrix/client/versions", guests=True)
    async def versions(self, caller: Caller | None) -> Reply:
        """The versions of the specification this server speaks."""
        return Reply(200, {"versions": SPECIFICATIONS, "unstable_features": self.features}, {"vary": "Authorization"})

    @get("/_matrix/client/v3/capabilities", guests=True)
    async def capabilities(self, caller: Caller) -> dict[str, Any]:
        """What clients may offer their users."""
        available = {version.id: "stable" if version.stable else "unstable" for version in VERSIONS.values()}
        moderation = {"m.account_moderation": {"suspend": True, "lock": True}} if caller.is_admin else {}
        return {
            "capabilities": {
                **moderation,
                "m.change_password": {"enabled": self.settings.passwords.enabled},
                "m.room_versions": {"default": self.settings.rooms.default_version, "available": available},
                "m.set_displayname": {"enabled": True},
                "m.set_avatar_url": {"enabled": True},
                "m.profile_fields": {"enabled": True},
                "m.3pid_changes": {"enabled": self.settings.email is not None},
                "m.get_login_token": {"enabled": self.settings.passwords.enabled},
                named("join_links"): {"enabled": True, "key_custody_with_approval": False},
            }
        }
