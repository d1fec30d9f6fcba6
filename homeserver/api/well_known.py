"""What a server says about itself under /.well-known/matrix/.  spec: client-server-api#well-known-uris"""

from dataclasses import dataclass
from typing import Any

from homeserver.errors import NotFound
from homeserver.settings import Settings
from homeserver.web.routes import get


@dataclass(frozen=True)
class WellKnown:
    """The three files, made from the settings."""

    settings: Settings

    @get("/.well-known/matrix/client")
    async def client(self) -> dict[str, Any]:
        """Where clients find the server."""
        chosen = self.settings.well_known
        base_url = chosen.client_base_url or self.settings.public_baseurl
        if base_url is None:
            raise NotFound("This server does not say where clients find it")
        answer: dict[str, Any] = {"m.homeserver": {"base_url": base_url.rstrip("/")}}
        if chosen.identity_server:
            answer["m.identity_server"] = {"base_url": chosen.identity_server}
        if chosen.rtc_livekit_urls:
            answer["org.matrix.msc4143.rtc_foci"] = [{"type": "livekit", "livekit_service_url": url} for url in chosen.rtc_livekit_urls]
        return answer

    @get("/.well-known/matrix/server")
    async def server(self) -> dict[str, Any]:
        """Where other servers find it."""
        if self.settings.well_known.server is None:
            raise NotFound("This server is found under its own name")
        return {"m.server": self.settings.well_known.server}

    @get("/.well-known/matrix/support")
    async def support(self) -> dict[str, Any]:
        """Whom to ask for help."""
        chosen = self.settings.well_known
        contact = {"email_address": chosen.support_email, "matrix_id": chosen.support_matrix_id}
        contact = {name: value for name, value in contact.items() if value}
        answer: dict[str, Any] = {}
        if contact:
            answer["contacts"] = [{"role": "m.role.admin", **contact}]
        if chosen.support_page:
            answer["support_page"] = chosen.support_page
        if not answer:
            raise NotFound("Nobody is named")
        return answer
