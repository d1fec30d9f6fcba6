"""The processes of one server: the bus between them."""

import secrets
from dataclasses import dataclass, replace

import msgspec

from homeserver.bus.frames import secret_of
from homeserver.bus.publishing import Alone, Bus
from homeserver.bus.sockets import Place, Sockets
from homeserver.composition.ground import Given, Ground, Service
from homeserver.live.ring import Ring, Said
from homeserver.sync.elsewhere import Elsewhere


@dataclass(frozen=True)
class Processes:
    """What others need of it."""

    bus: Bus
    services: tuple[Service, ...]


def compose(ground: Ground, given: Given) -> Processes:
    """Make it.  On SQLite, and in tests that give none, a process is alone."""
    made = _made(ground, given)
    _carry(ground.live, made.bus)
    if not isinstance(made.bus, Alone):
        Elsewhere(ground.database, made.bus, secrets.token_hex(8)).begin()
    return made


def _carry(live: Ring, bus: Bus) -> None:
    """What is said live in one process is heard in all."""

    def hear(payload: bytes) -> None:
        live.hear(msgspec.msgpack.decode(payload, type=Said))

    def publish(said: Said) -> None:
        bus.publish("live", msgspec.msgpack.encode(replace(said, kind=str(said.kind), key=str(said.key), by=str(said.by))))

    bus.subscribe("live", hear)
    live.publish = publish


def _made(ground: Ground, given: Given) -> Processes:
    if given.bus is not None:
        return Processes(given.bus, ())
    if ground.database.engine == "sqlite" or given.database is not None:
        return Processes(Alone(), ())
    chosen = ground.settings.bus
    secret = secret_of(bytes(ground.identity.key.secret), ground.identity.name)
    sockets = Sockets(ground.database, ground.clock, Place(chosen.host, chosen.port, chosen.reached_at), secret)
    return Processes(sockets, (sockets,))
