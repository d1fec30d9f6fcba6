"""Join links: made, followed here and elsewhere, shown to people."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.api.client.join_links import JoinLinks
from homeserver.api.client.link_pages import LinkPages
from homeserver.api.server.join_links import LinksOfOthers
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.media import Media
from homeserver.composition.membership import Membership
from homeserver.composition.room_keys import RoomKeys
from homeserver.errors import Refused
from homeserver.events.identifiers import ServerName
from homeserver.media.library import Library, Wish
from homeserver.media.serving import Span
from homeserver.media.thumbnails import wanted
from homeserver.media.uri import MXC
from homeserver.membership.links.custody import Custody
from homeserver.membership.links.following import Following
from homeserver.membership.links.making import Links
from homeserver.membership.links.notifying import EDU, Notifier
from homeserver.membership.links.redeeming import Redeeming
from homeserver.membership.links.upkeep import Upkeep

MAX_PICTURE = 128 * 1024
SIDE = 96


@dataclass(frozen=True)
class JoiningByLink:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, federation: Federation, membership: Membership, keys: RoomKeys, media: Media) -> JoiningByLink:
    """Make it."""
    settings, name = ground.settings, ground.identity.name
    custody = Custody(settings.custody_key_file)
    links = Links(ground.database, ground.clock, custody)
    notifier = Notifier(ground.database, name, keys.requests.tell, federation.edus)
    redeeming = Redeeming(links, membership.invites, notifier.notify)
    following = Following(redeeming, membership.joins, federation.peers, keys.requests, notifier)
    endpoints = (
        JoinLinks(links, following, settings.client_url),
        LinkPages(redeeming, name, _pictures(media.library)),
        LinksOfOthers(following),
    )
    return JoiningByLink({EDU: following.receive}, endpoints, (Upkeep(ground.database, ground.clock, custody),))


def _pictures(library: Library) -> Callable[[str], Awaitable[tuple[str, bytes] | None]]:
    """Small pictures of rooms, of this server's own content only: a link makes nobody fetch anything."""

    async def picture(uri: str) -> tuple[str, bytes] | None:
        try:
            item = await library.thumbnail(Wish(MXC.parse(uri), 0, allow_remote=False), wanted(SIDE, SIDE, "crop", False))
            if item.size > MAX_PICTURE:
                return None
            return item.content_type, b"".join([piece async for piece in await library.bytes(item, Span(0, item.size))])
        except (Refused, ValueError):
            return None

    return picture
