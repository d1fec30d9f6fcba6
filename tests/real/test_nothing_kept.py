"""What must be written nowhere is written nowhere: two servers are killed, and everything that they ever wrote is looked through.

Logs at debug level, the database with its journal, media, temporary files; and the traffic between the servers, as a proxy saw it.
"""

import base64
import os
import runpy
import time
from pathlib import Path
from typing import Any

import pytest

from homeserver.events.vendor import CLIENT
from tests.certificates import Authority
from tests.postgres import cluster
from tests.real import processes
from tests.real.people import register
from tests.real.processes import Program
from tests.real.recorder import Recorder

Device = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "client.py"))["Device"]
PASSWORD = "a long password"
WORD, REASON, CONTROL = "MAGICWORDTHATNOBODYWRITES", "MAGICREASONTHATNOBODYWRITES", "ORDINARYWORDTHATISWRITTEN"
CIPHERTEXT = base64.b64encode(os.urandom(90)).decode()
ROOM_KEY = os.urandom(32)


def forms(secret: bytes) -> list[bytes]:
    """A secret as it would look: as it is, in base64 and in hexadecimal."""
    return [secret, base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"="), secret.hex().encode()]


def everything(engine: str, *folders: Path) -> dict[str, bytes]:
    """All that was written there, and by PostgreSQL: tables, journal and what it spilled."""
    if engine == "postgres":
        cluster().sql("CHECKPOINT")
        folders = (*folders, Path(cluster().folder))
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {str(file): file.read_bytes() for file in files}


def assert_nowhere(found: dict[str, bytes], secrets: list[bytes]) -> None:
    for where, content in found.items():
        for secret in secrets:
            assert secret not in content, f"{secret!r} in {where}"


def two_servers_that_wrote(engine: str, authority: Authority, folder: Path) -> tuple[dict[str, bytes], bytes, list[bytes]]:
    """Everything that two servers wrote, their traffic, and the ids of what was said; they were killed right after it."""
    for name in ("a", "b"):
        (folder / name).mkdir()
    with (
        processes.homeserver(folder / "a", authority, engine, behind=True, level="debug") as a,
        processes.homeserver(folder / "b", authority, engine, behind=True, level="debug") as b,
        Recorder(a) as to_a,
        Recorder(b) as to_b,
    ):
        register(a.url, "alice"), register(b.url, "bob")
        alice, bob = Device.log_in(a.url, "alice", PASSWORD), Device.log_in(b.url, "bob", PASSWORD)
        key_approved(alice, bob, a)
        ids = said(alice, bob, a)
        a.kill()
        b.kill()
        return everything(engine, folder), to_a.seen() + to_b.seen(), ids


def key_approved(alice: Any, bob: Any, server: Program) -> None:
    """Bob asks for the key of an open room and gets it; the request stays, so that all of it is there to be found."""
    room = alice.ask("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    alice.ask("PUT", f"/rooms/{room}/send/m.room.message/control", {"msgtype": "m.text", "body": CONTROL})
    bob.ask("POST", f"/join/{room}", {}, via=server.name)
    bob.ask("POST", f"{CLIENT}/rooms/{room}/key_requests", {"public_key": bob.public})
    (request,) = awaits(lambda: alice.ask("GET", f"{CLIENT}/rooms/{room}/key_requests")["requests"])
    sealed = alice.seal(request["user_id"], request["device_id"], ROOM_KEY)
    alice.ask("PUT", f"{CLIENT}/rooms/{room}/key_requests/{request['request_id']}/approval", {"key": sealed})
    (own,) = awaits(lambda: [one for one in bob.ask("GET", f"{CLIENT}/key_requests")["requests"] if one["status"] == "approved"])
    assert bob.open(own["key"]) == ROOM_KEY


def said(alice: Any, bob: Any, server: Program) -> list[bytes]:
    """Both speak in an ephemeral room and hear each other; a receipt, a redaction; the ids of it all."""
    wish = {"preset": "public_chat", "creation_content": {"org.homeserver.delivery": "ephemeral"}}
    room = alice.ask("POST", "/createRoom", wish)["room_id"]
    bob.ask("POST", f"/join/{room}", {}, via=server.name)
    awaits(lambda: bob.user_id in alice.ask("GET", f"/rooms/{room}/joined_members")["joined"])
    ids = []
    for one, other in ((alice, bob), (bob, alice)):
        one.follow(0), other.follow(0)
        content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": CIPHERTEXT, "note": WORD}
        event_id = one.ask("PUT", f"/rooms/{room}/send/m.room.encrypted/{one.transaction()}", content)["event_id"]
        ids.append(event_id)
        awaits(lambda other=other, event_id=event_id: event_id in [e["event_id"] for e in other.follow(1)[1].get(room, ())])
        other.ask("POST", f"/rooms/{room}/receipt/m.read/{event_id}", {})
        other.ask("POST", f"/rooms/{room}/read_markers", {"m.fully_read": event_id, "m.read": event_id})
        ids.append(one.ask("PUT", f"/rooms/{room}/redact/{event_id}/{one.transaction()}", {"reason": REASON})["event_id"])
    return [event_id.encode() for event_id in ids]


def awaits(found: Any) -> Any:
    until = time.monotonic() + 30
    while not (result := found()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return result


def test_nothing_that_must_not_be_written_is_written(
    engine: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    written, traffic, ids = two_servers_that_wrote(engine, authority, tmp_path)
    assert any(CONTROL.encode() in content for content in written.values()), "what is written is found"
    assert b"debug" in written[str(tmp_path / "a" / "log")]
    assert_nowhere(written, [WORD.encode(), REASON.encode(), CIPHERTEXT.encode(), base64.b64decode(CIPHERTEXT), *ids, *forms(ROOM_KEY)])
    assert b"org.homeserver.room_key" in traffic and WORD.encode() in traffic, "what goes from server to server is seen"
    assert_nowhere({"traffic": traffic}, forms(ROOM_KEY))
