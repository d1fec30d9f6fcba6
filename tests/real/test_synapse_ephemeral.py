"""A server that does not know ephemeral rooms, a real Synapse, is refused: it is told why, and nothing of such a room gets there."""

import sqlite3
from contextlib import closing

from homeserver.events.versions import EPHEMERAL
from tests.real.people import ask
from tests.real.processes import Program
from tests.real.sides import person

WISH = {"preset": "public_chat", "creation_content": {"org.homeserver.delivery": "ephemeral"}}


def stored(server: Program, room: str) -> list[str]:
    """The tables of a Synapse that know anything of a room's events or members."""
    found = []
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as database:
        for table in ("events", "event_json", "rooms", "room_memberships", "current_state_events", "local_current_membership"):
            if database.execute(f"SELECT 1 FROM {table} WHERE room_id = ?", (room,)).fetchone():
                found.append(table)
    return found


def test_nobody_there_joins(ours: Program, synapse: Program) -> None:
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    room = alice.creates(**WISH)
    reply = ask(bob.url, "POST", f"/_matrix/client/v3/join/{room}", {}, bob.token, server_name=ours.name, via=ours.name)
    assert (reply.status, reply.json["errcode"]) == (400, "M_INCOMPATIBLE_ROOM_VERSION"), reply
    assert reply.json["room_version"] == EPHEMERAL.id
    assert room not in bob.must("GET", "/joined_rooms")["joined_rooms"] and alice.members(room) == {alice.user_id: "join"}
    assert stored(synapse, room) == []


def test_nobody_there_is_invited(ours: Program, synapse: Program) -> None:
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    room = alice.creates(**{**WISH, "preset": "private_chat"})
    reply = alice.ask("POST", f"/rooms/{room}/invite", {"user_id": bob.user_id})
    assert reply.status >= 400 and reply.json["errcode"] in ("M_INCOMPATIBLE_ROOM_VERSION", "M_UNSUPPORTED_ROOM_VERSION"), reply
    assert alice.members(room) == {alice.user_id: "join"} and room not in bob.syncs().get("rooms", {}).get("invite", {})
    assert stored(synapse, room) == []


def test_what_is_said_does_not_go_there(ours: Program, synapse: Program) -> None:
    """Not even to a server that shares another room with everybody in it."""
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    shared = alice.creates(preset="public_chat")
    bob.joins(shared, alice.server)
    alice.awaits_member(shared, bob.user_id, "join")
    room = alice.creates(**WISH)
    content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "NOTFORSYNAPSE", "session_id": "s"}
    alice.must("PUT", f"/rooms/{room}/send/m.room.encrypted/1", content)
    bob.awaits_event(shared, alice.says(shared, "an ordinary room goes on"))
    written = b"".join(file.read_bytes() for file in synapse.folder.rglob("*") if file.is_file())
    assert b"NOTFORSYNAPSE" not in written and EPHEMERAL.id.encode() not in _rooms(synapse)


def _rooms(server: Program) -> bytes:
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as database:
        return repr(database.execute("SELECT room_version FROM rooms").fetchall()).encode()
