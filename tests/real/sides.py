"""A story's two servers, one of them ours: the host, where the room is made, and the guest."""

import itertools
from dataclasses import dataclass
from typing import Any

from tests.real.people import Person, register
from tests.real.processes import Program

_numbers = itertools.count()


@dataclass(frozen=True)
class Sides:
    """Alice is on the host, Bob on the guest."""

    host: Program
    guest: Program

    def people(self) -> tuple[Person, Person]:
        """A new Alice and a new Bob."""
        return person(self.host, "alice"), person(self.guest, "bob")

    def guest_person(self) -> Person:
        """Somebody more on Bob's server."""
        return person(self.guest, "carol")

    def host_person(self) -> Person:
        """Somebody more on Alice's server."""
        return person(self.host, "dave")

    def meet(self, alice: Person, bob: Person, **how: Any) -> str:
        """A room of Alice with Bob in it, both having seen that."""
        room = alice.creates(**({"preset": "public_chat"} | how))
        bob.joins(room, alice.server)
        alice.awaits_member(room, bob.user_id, "join")
        bob.awaits_membership(room, "join")
        return room


def person(server: Program, name: str) -> Person:
    """A new account whose name nobody had before."""
    return register(server.url, f"{name}-{next(_numbers)}")
