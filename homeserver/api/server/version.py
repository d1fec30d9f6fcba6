"""What software this is, for other servers."""

from dataclasses import dataclass
from typing import Any

from homeserver import __version__
from homeserver.web.routes import get


@dataclass(frozen=True)
class Version:
    """Name and version."""

    @get("/_matrix/federation/v1/version")
    async def version(self) -> dict[str, Any]:
        """spec: server-server-api#get_matrixfederationv1version"""
        return {"server": {"name": "homeserver", "version": __version__}}
