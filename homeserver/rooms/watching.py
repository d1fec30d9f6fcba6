"""Observers that need not see each event: of state, of swarms.  Knows not what they look for."""

from homeserver.rooms.entering import Observer
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


def of_state(*observers: Observer) -> Observer:
    """One that calls the others for state, and for no messages."""

    def observe(txn: Transaction, room: Room, stored: Stored) -> None:
        if stored.event.state_key is not None:
            for one in observers:
                one(txn, room, stored)

    return observe


def of_swarms(*observers: Observer) -> Observer:
    """One that calls the others for events of swarms."""

    def observe(txn: Transaction, room: Room, stored: Stored) -> None:
        if room.version.law == "swarm":
            for one in observers:
                one(txn, room, stored)

    return observe
