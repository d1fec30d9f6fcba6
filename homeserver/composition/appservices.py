"""Application services: who they are (needed early, by accounts), and what they are told (made late, of all that can be told)."""

from dataclasses import dataclass

from homeserver.api.client.appservice import ApplicationServices, ThirdParties
from homeserver.appservices.asking import Asking
from homeserver.appservices.calls import Calls
from homeserver.appservices.delivery import Deliveries, observe
from homeserver.appservices.services import Services
from homeserver.appservices.transactions import Reader
from homeserver.composition.attention import Attention
from homeserver.composition.ground import Ground, Service
from homeserver.rooms.entering import Observer


@dataclass(frozen=True)
class Registered:
    """The services of the registration files."""

    services: Services
    asking: Asking
    observers: tuple[Observer, ...]


@dataclass(frozen=True)
class AppServices:
    """What others need of them."""

    deliveries: Deliveries
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def register(ground: Ground) -> Registered:
    """Read the registrations; raises `BadSettings`."""
    services = Services.load(ground.settings.appservices, ground.identity.name)
    return Registered(services, Asking(ground.database, services, Calls(ground.transport)), (observe,) if services.all else ())


def compose(ground: Ground, registered: Registered, attention: Attention) -> AppServices:
    """Make what tells them."""
    asking = registered.asking
    reader = Reader(attention.typing, attention.presence)
    deliveries = Deliveries(ground.database, ground.clock, registered.services, asking.calls, reader)
    endpoints = (ApplicationServices(asking, deliveries.nudge, ground.clock), ThirdParties(asking))
    return AppServices(deliveries, endpoints, (deliveries,))
