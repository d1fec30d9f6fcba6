"""A server that does not know swarms, a real Synapse, is refused: it is told why, and nothing of such a room gets there."""

import pytest

from homeserver.events.versions import SWARM
from tests.real.people import ask
from tests.real.processes import Program
from tests.real.sides import person
from tests.real.test_synapse_ephemeral import _rooms, stored

UNKNOWN = ("M_INCOMPATIBLE_ROOM_VERSION", "M_UNSUPPORTED_ROOM_VERSION")


def test_nobody_there_joins(ours: Program, synapse: Program) -> None:
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    room = alice.creates(room_version=SWARM.id, preset="public_chat")
    reply = ask(bob.url, "POST", f"/_matrix/client/v3/join/{room}", {}, bob.token, server_name=ours.name, via=ours.name)
    assert (reply.status, reply.json["errcode"]) == (400, "M_INCOMPATIBLE_ROOM_VERSION"), reply
    assert reply.json["room_version"] == SWARM.id
    assert room not in bob.must("GET", "/joined_rooms")["joined_rooms"] and alice.members(room) == {alice.user_id: "join"}
    assert stored(synapse, room) == [] and SWARM.id.encode() not in _rooms(synapse)


@pytest.mark.parametrize("mode", [0, 2])
def test_nobody_there_is_invited(ours: Program, synapse: Program, mode: int) -> None:
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    content = {"mode": mode, **({"invited": bob.user_id} if mode == 0 else {})}
    room = alice.creates(room_version=SWARM.id, creation_content=content)
    reply = alice.ask("POST", f"/rooms/{room}/invite", {"user_id": bob.user_id})
    assert reply.status >= 400 and reply.json["errcode"] in UNKNOWN, reply
    alice.awaits("the end of the invite", lambda: alice.members(room).get(bob.user_id, "leave") == "leave")
    assert room not in bob.syncs().get("rooms", {}).get("invite", {})
    assert stored(synapse, room) == []


def test_what_is_said_does_not_go_there(ours: Program, synapse: Program) -> None:
    """Not even to a server that shares another room with everybody in it."""
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    shared = alice.creates(preset="public_chat")
    bob.joins(shared, alice.server)
    alice.awaits_member(shared, bob.user_id, "join")
    room = alice.creates(room_version=SWARM.id)
    alice.says(room, "NOTFORSYNAPSE")
    bob.awaits_event(shared, alice.says(shared, "an ordinary room goes on"))
    written = b"".join(file.read_bytes() for file in synapse.folder.rglob("*") if file.is_file())
    assert b"NOTFORSYNAPSE" not in written
