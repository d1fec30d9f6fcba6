"""Other servers: whom we ask and who asks us."""

from dataclasses import dataclass
from random import SystemRandom

from homeserver.api.server.backfill import History
from homeserver.api.server.events import Events
from homeserver.api.server.keys import Keys, OwnDocument
from homeserver.api.server.version import Version
from homeserver.bus.publishing import Bus
from homeserver.composition.ground import Ground, Service
from homeserver.events.identifiers import ServerName
from homeserver.federation.authentication import Admission, Authentication
from homeserver.federation.backoff import Backoff
from homeserver.federation.conversation import Conversation
from homeserver.federation.entering import Entering
from homeserver.federation.fetches import Fetches
from homeserver.federation.keyring import Keyring
from homeserver.federation.outbox import Outbox
from homeserver.federation.peers import Peers
from homeserver.federation.volatile import Edus
from homeserver.web.kept import Kept


@dataclass(frozen=True)
class Federation:
    """What others need of it."""

    peers: Peers
    keyring: Keyring
    backoff: Backoff
    authentication: Authentication
    edus: Edus
    outbox: Outbox
    entering: Entering
    fetches: Fetches
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, bus: Bus) -> Federation:
    """Make it."""
    settings, identity, clock = ground.settings.federation, ground.identity, ground.clock
    admission = Admission.of(settings.allowed_servers if settings.enabled else (), settings.denied_servers)
    backoff = Backoff(ground.database, clock, SystemRandom(), settings.max_retry_delay)
    peers = Peers(Conversation(identity, ground.transport, backoff, admission))
    notaries = [ServerName.parse(name) for name in settings.trusted_notaries]
    keyring = Keyring(identity, ground.database, peers, notaries, clock)
    own = OwnDocument(identity, clock, ground.settings.keys.validity)
    endpoints = (
        Keys(identity, clock, own, keyring, admission),
        Version(),
        Events(ground.database, identity, clock),
        History(ground.database, identity, clock),
    )
    outbox = Outbox(ground.database, peers, backoff, clock, SystemRandom())
    authentication = Authentication(identity, keyring, backoff, admission)
    swarm = ground.settings.swarm
    fetches = Fetches(swarm.largest_fetch_events, int(swarm.largest_fetch_bytes))
    text = "Answers of other servers that were larger than is taken of a swarm"
    ground.metrics.registry.register(Kept("homeserver_fetches_refused", text, lambda: fetches.refused))
    return Federation(peers, keyring, backoff, authentication, outbox, outbox, Entering(clock, bus), fetches, endpoints, (outbox,))
