"""Joining over real sockets: candidates that are dead, and what expires, as a real Synapse sees it."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.ports import free_port
from tests.real import processes
from tests.real.processes import Program
from tests.real.sides import person

LIFETIMES = {"rooms": "{invite_lifetime: 3s, knock_lifetime: 3s}"}
KNOCK = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}


@contextmanager
def black_hole() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"localhost:{listening.getsockname()[1]}"


def test_three_dead_candidates_one_a_black_hole_cost_less_than_two_seconds(ours: Program, authority: Authority, tmp_path: Path) -> None:
    with processes.homeserver(tmp_path, authority) as other, black_hole() as hole:
        alice, bob = person(ours, "alice"), person(other, "bob")
        first, second = (alice.creates(preset="public_chat") for _ in range(2))
        began = time.monotonic()
        bob.joins(first, alice.server)
        alone = time.monotonic() - began
        began = time.monotonic()
        bob.joins(second, f"localhost:{free_port()}", hole, "nowhere.invalid", alice.server)
        took = time.monotonic() - began
        print(f"alone {alone:.2f} s, behind three dead ones {took:.2f} s")
        assert took < 2 + alone
        alice.awaits_member(second, bob.user_id, "join")


@pytest.fixture(scope="module")
def forgetful(engine: str, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server of ours where nothing stands for long."""
    with processes.homeserver(tmp_path_factory.mktemp("forgetful"), authority, engine, LIFETIMES) as program:
        yield program


def test_an_expired_invite_is_an_ordinary_leave_to_synapse(forgetful: Program, synapse: Program) -> None:
    alice, bob, carol = person(forgetful, "alice"), person(synapse, "bob"), person(synapse, "carol")
    room = alice.creates(preset="private_chat")
    alice.invites(bob, room)
    bob.awaits_membership(room, "invite")
    # To the invited user's server, which is not in the room.
    bob.awaits_membership(room, "leave")
    bob.may_not_join(room, alice.server)
    # And to a member's.
    alice.invites(carol, room)
    carol.awaits_membership(room, "invite")
    carol.joins(room)
    alice.invites(bob, room)
    left = carol.awaits_member(room, bob.user_id, "leave")
    assert left["sender"] == alice.user_id and left["content"]["reason"] == "The invite has expired"
    assert carol.members(room)[bob.user_id] == "leave"


def test_an_expired_knock_is_an_ordinary_leave_to_synapse(forgetful: Program, synapse: Program) -> None:
    alice, bob = person(synapse, "alice"), person(forgetful, "bob")
    room = alice.creates(preset="private_chat", initial_state=[KNOCK])
    bob.knocks(room, alice.server)
    bob.awaits_membership(room, "knock")
    left = alice.awaits_member(room, bob.user_id, "leave")
    assert left["sender"] == bob.user_id and left["content"]["reason"] == "The knock has expired"
    bob.awaits_membership(room, "leave")


def test_who_asked_for_it_joins_a_room_of_synapse_after_a_knock(ours: Program, synapse: Program) -> None:
    alice, bob = person(synapse, "alice"), person(ours, "bob")
    bob.must("PUT", f"/user/{bob.user_id}/account_data/org.homeserver.knock", {"auto_join": True})
    room = alice.creates(preset="private_chat", initial_state=[KNOCK])
    bob.knocks(room, alice.server)
    alice.awaits_member(room, bob.user_id, "knock")
    alice.invites(bob, room)
    joined = alice.awaits_member(room, bob.user_id, "join")
    assert joined["content"]["org.homeserver.auto_join"] is True
    bob.awaits_membership(room, "join")
