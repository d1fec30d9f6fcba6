"""Notifying: push rules, what is unread, pushers and those who tell them."""

from dataclasses import dataclass

from homeserver.accounts.closing import Closed
from homeserver.accounts.devices import Watcher
from homeserver.api.client.notifications import Notifications
from homeserver.api.client.push_rules import PushRules
from homeserver.api.client.pushers import PusherPages
from homeserver.composition.ground import Ground, Service
from homeserver.push import pushers
from homeserver.push.couriers import GatewayCourier, MailCourier
from homeserver.push.delivery import Courier, Deliveries
from homeserver.push.pushers import Allowed, Pushers
from homeserver.push.unread import Unread
from homeserver.rooms import recent
from homeserver.rooms.entering import Observer


@dataclass(frozen=True)
class Notifying:
    """What others need of it: who sees each event, who hears of devices."""

    observers: tuple[Observer, ...]
    watchers: tuple[Watcher, ...]
    closed: tuple[Closed, ...]
    deliveries: Deliveries
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground) -> Notifying:
    """Make it."""
    database, clock = ground.database, ground.clock
    couriers: dict[str, Courier] = {"http": GatewayCourier(database, clock, ground.transport)}
    if ground.post is not None:
        couriers["email"] = MailCourier(database, clock, ground.post, str(ground.settings.client_url))
    deliveries = Deliveries(database, clock, couriers)
    allowed = Allowed(email=ground.post is not None, plain_http=ground.settings.federation.allow_private_addresses)
    endpoints = (PushRules(database), PusherPages(Pushers(database, clock, allowed)), Notifications(database, clock))
    observers = (recent.Saying(ground.identity.name).observe, Unread(ground.identity.name, recent.plain).observe)
    return Notifying(observers, (pushers.devices_changed,), (pushers.account_closed,), deliveries, endpoints, (deliveries,))
