"""The processes of one server: the bus between them."""

from dataclasses import dataclass

from homeserver.bus.frames import secret_of
from homeserver.bus.publishing import Alone, Bus
from homeserver.bus.sockets import Place, Sockets
from homeserver.composition.ground import Given, Ground, Service


@dataclass(frozen=True)
class Processes:
    """What others need of it."""

    bus: Bus
    services: tuple[Service, ...]


def compose(ground: Ground, given: Given) -> Processes:
    """Make it.  On SQLite, and in tests that give none, a process is alone."""
    if given.bus is not None:
        return Processes(given.bus, ())
    if ground.database.engine == "sqlite" or given.database is not None:
        return Processes(Alone(), ())
    chosen = ground.settings.bus
    secret = secret_of(bytes(ground.identity.key.secret), ground.identity.name)
    sockets = Sockets(ground.database, ground.clock, Place(chosen.host, chosen.port, chosen.reached_at), secret)
    return Processes(sockets, (sockets,))
