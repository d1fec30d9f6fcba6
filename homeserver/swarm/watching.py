"""Observers of what happens in swarms, and in no other room.  Knows not what they look for."""

from homeserver.rooms.entering import Observer
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


def in_swarms(*observers: Observer) -> Observer:
    """One that calls the others for events of swarms."""

    def observe(txn: Transaction, room: Room, stored: Stored) -> None:
        if room.version.law == "swarm":
            for one in observers:
                one(txn, room, stored)

    return observe
