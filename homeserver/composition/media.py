"""Media: files of users, copies of others' files, thumbnails, previews."""

from dataclasses import dataclass

from homeserver.api.client.media import Downloads, LinkPreviews, Uploads
from homeserver.api.server.media import MediaForServers
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.media.files import Files
from homeserver.media.library import Library
from homeserver.media.previews import Previews
from homeserver.media.remote import Remote
from homeserver.media.repository import Repository
from homeserver.media.thumbnails import Thumbnails
from homeserver.media.upkeep import Upkeep
from homeserver.media.workshop import Processes


@dataclass(frozen=True)
class Media:
    """What others need of it."""

    repository: Repository
    library: Library
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, federation: Federation) -> Media:
    """Make it."""
    settings, name = ground.settings, ground.identity.name
    files = Files(settings.media_folder, ground.offload)
    repository = Repository(name, files, ground.database, ground.clock, settings.media)
    workshop = Processes(ground.offload)
    remote = Remote(repository, federation.peers, ground.transport)
    library = Library(repository, remote, Thumbnails(repository, workshop))
    previews = Previews(repository, ground.transport, workshop)
    endpoints = (
        Uploads(repository),
        Downloads(library),
        LinkPreviews(previews, settings.media.url_previews),
        MediaForServers(library, name),
    )
    return Media(repository, library, endpoints, (Upkeep(repository, workshop),))
