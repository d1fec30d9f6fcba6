"""The composition root: puts the layers of `homeserver.composition` together, starts and stops what they made."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twisted.logger import Logger

from homeserver.accounts.closing import Closed
from homeserver.accounts.profiles import Elsewhere
from homeserver.api.admin.commands import Commands
from homeserver.api.client.versions import UNSTABLE, Versions
from homeserver.api.operations import Operations
from homeserver.api.well_known import WellKnown
from homeserver.clock import Clock
from homeserver.composition import (
    accounts,
    admin,
    appservices,
    arrivals,
    attention,
    directory,
    federation,
    ground,
    keys,
    links,
    media,
    membership,
    notifying,
    processes,
    room_keys,
    rooms,
    swarm,
    swarm_conversations,
    swarm_things,
    sync,
)
from homeserver.composition.accounts import Accounts, Outside
from homeserver.composition.admin import Admin
from homeserver.composition.appservices import AppServices
from homeserver.composition.arrivals import Arrivals
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Given, Service
from homeserver.composition.membership import Membership
from homeserver.composition.notifying import Notifying
from homeserver.composition.rooms import Rooms
from homeserver.composition.swarm import Swarms
from homeserver.composition.swarm_conversations import Conversing
from homeserver.composition.swarm_things import Things
from homeserver.composition.sync import Sync
from homeserver.errors import NotFound
from homeserver.events.identifiers import UserID
from homeserver.federation.failures import PeerError
from homeserver.federation.peers import Peers
from homeserver.identity import Identity
from homeserver.keys.announce import Announcer
from homeserver.keys.devices import AccountWatch, DeviceWatch
from homeserver.keys.joining import RoomWatch
from homeserver.live.ring import TO_DEVICE
from homeserver.membership.carrying import Carrying
from homeserver.rooms import delayed
from homeserver.rooms.entering import Observers
from homeserver.rooms.watching import of_state, of_swarms
from homeserver.settings import Settings
from homeserver.storage.database import Database
from homeserver.swarm import accepting
from homeserver.web.listening import Doors
from homeserver.web.router import Router
from homeserver.workers import Share, is_shared

log = Logger()

DRAIN_SECONDS, STOP_SECONDS = 3.0, 5.0


@dataclass(frozen=True)
class Server:
    """A whole server.  Tests use `router`, `database` and the parts as they are; `listen` and `stop` are for real ones."""

    settings: Settings
    identity: Identity
    database: Database
    clock: Clock
    router: Router
    commands: Router
    services: tuple[Service, ...]
    doors: Doors
    rooms: Rooms
    accounts: Accounts
    federation: Federation
    arrivals: Arrivals
    entering: Membership
    telling: Notifying
    following: Sync
    bridging: AppServices
    operating: Admin
    things: Things
    swarms: Swarms
    conversing: Conversing

    @property
    def operator(self) -> Commands:
        """What the command line asks for."""
        return self.accounts.operator

    def listen(self, share: Share | None = None) -> list[str]:
        """Open the ports, or those sockets that other workers share with this one, and return their URLs."""
        sockets = iter(share.sockets if share else ())
        urls = []
        for listener in self.settings.listeners:
            if share is None:
                urls.append(self.doors.open(listener, self.router))
            elif is_shared(listener):
                urls.append(self.doors.adopt(listener, self.router, next(sockets)))
            else:
                urls.append(self.doors.open(replace(listener, port=listener.port + share.number), self.router))
        for service in self.services:
            service.start()
        return urls

    async def stop(self) -> None:
        """Answer what is under way, end the background work, close the database."""
        await self.doors.close(DRAIN_SECONDS)
        for service in reversed(self.services):
            try:
                await self.clock.timeout(service.stop(), STOP_SECONDS)
            except Exception:
                # The others must end in order all the same, the database last.
                log.failure("Stopping {service} failed", service=type(service).__name__)
        self.database.close()


def build(settings: Settings, reactor: Any, given: Given = Given()) -> Server:
    """A server that does not listen yet.  Opens and migrates the database, which blocks."""
    # From below to above; a layer gets those it stands on.
    on = ground.lay(settings, reactor, given)
    between = processes.compose(on, given)
    others = federation.compose(on, between.bus)
    announcer = Announcer(settings.federation.share_device_names)
    attentive, telling = attention.compose(on, others, between.bus), notifying.compose(on)
    bridged = appservices.register(on)
    asking = room_keys.compose(on, partial(on.live.say, TO_DEVICE))
    shelves = swarm_things.register(on, others, attentive.receipts)
    name, pending = on.identity.name, membership.register(on)
    of_any = (*telling.observers, attentive.presence.observe, *bridged.observers)
    in_state = of_state(RoomWatch(name, announcer), Carrying(name).observe, pending.observe, *asking.observers)
    in_swarms = of_swarms(*swarm.observers(on), *swarm_conversations.observers(on), *shelves.observers)
    observers = Observers((*of_any, in_state, in_swarms), swarm.of_refused(on), came=asking.of_servers, went=swarm.of_gone(on))
    in_rooms = rooms.compose(on, observers)
    entering = membership.compose(on, in_rooms, others, bridged.asking, attentive.speaking)
    closed: tuple[Closed, ...] = (AccountWatch(announcer), delayed.account_closed, *telling.closed, accepting.account_closed)
    watchers = (DeviceWatch(announcer), *telling.watchers, *sync.WATCHERS, *asking.watchers)
    outside = Outside(_profiles_of(others.peers), entering.leaves.leave, watchers, closed)
    people = accounts.compose(on, in_rooms, bridged.services, outside, between.bus)
    secrets = keys.compose(on, others, people, announcer)
    following, files = sync.compose(on, attentive), media.compose(on, others)
    linking = links.compose(on, others, entering, asking, files)
    swarms, conversing = swarm.compose(on, in_rooms, others, entering), swarm_conversations.compose(on, others, entering, asking)
    things = swarm_things.compose(on, others, shelves, people.account_data, partial(on.live.say, TO_DEVICE))
    finding = directory.compose(on, in_rooms, others, entering)
    operating = admin.compose(on, in_rooms, others, people, entering)
    bridging = appservices.compose(on, bridged, attentive)
    edus = {**secrets.edus, **attentive.edus, **asking.edus, **linking.edus, **swarms.edus, **things.edus}
    coming = arrivals.compose(on, others, in_rooms, edus)
    between.bus.when_gone(coming.inbox.start)

    about = (Versions(settings, UNSTABLE), WellKnown(settings), Operations(on.database, on.clock, on.metrics))
    working = (
        in_rooms, people, entering, attentive, telling, files, finding, bridging, operating, coming, others, asking, linking, swarms,
        things, conversing,
    )  # fmt: skip
    parts = (*working, secrets, following)
    endpoints = (*about, *(endpoint for part in parts for endpoint in part.endpoints))
    identify, authenticate = people.callers.identify, others.authentication.authenticate
    return Server(
        settings,
        on.identity,
        on.database,
        on.clock,
        router=Router(endpoints, identify, authenticate, on.limits, on.metrics.observe),
        commands=Router([people.operator], identify, authenticate, on.limits),
        services=(*on.services, *between.services, *(service for part in working for service in part.services)),
        doors=Doors(reactor, on.clock, settings.web),
        rooms=in_rooms,
        accounts=people,
        federation=others,
        arrivals=coming,
        entering=entering,
        telling=telling,
        following=following,
        bridging=bridging,
        operating=operating,
        things=things,
        swarms=swarms,
        conversing=conversing,
    )


def _profiles_of(peers: Peers) -> Elsewhere:
    async def ask(user_id: UserID, field: str | None) -> dict[str, Any]:
        try:
            return await peers.profile(user_id.domain, user_id, field)
        except PeerError as error:
            raise NotFound(f"The profile could not be had: {error}") from None

    return ask
