"""A file of a swarm on its way between real processes, when the one that fetches it is killed, and the one that gave it, too."""

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

from homeserver.events.vendor import CLIENT
from tests.certificates import Authority
from tests.real import processes
from tests.real.people import Person, register

SIZE = 90_000_000
VERSION = "org.homeserver.swarm.1"


def test_what_came_before_a_kill_is_kept_and_the_rest_comes_from_another(engine: str, authority: Authority, tmp_path: Path) -> None:
    content = Random(5).randbytes(SIZE)
    with ExitStack() as stack:
        servers = [stack.enter_context(processes.homeserver(_folder(tmp_path, name), authority, engine)) for name in "abc"]
        a, b, c = servers
        alice, bob, carla = (register(server.url, name) for server, name in zip(servers, ("alice", "bob", "carla"), strict=True))
        room = alice.creates(room_version=VERSION, creation_content={"mode": 2})
        for other in (bob, carla):
            alice.invites(other, room)
            other.awaits_membership(room, "invite")
            other.joins(room, alice.server)
        files = f"{CLIENT}/swarm/rooms/{room}/files"
        event = brings(alice, room, files, content)
        for other in (bob, carla):
            other.awaits_event(room, event)
        until(lambda: bob.ask("GET", f"{files}/{event}", timeout_ms=5000).status == 200, "Bob has the file")

        def came() -> int:
            return sum(file.stat().st_size for file in (c.folder / "media" / "waiting").glob("*/*"))

        assert carla.ask("GET", f"{files}/{event}").status == 202
        until(lambda: came() > 0, "something of the file is there", 0.001)
        c.kill()
        kept = came()
        assert 0 < kept < SIZE, "the process was killed in the midst of it"
        a.kill()
        c.start()
        least = kept
        reply: Any = None
        deadline = time.monotonic() + 120
        while reply is None or reply.status == 202:
            assert time.monotonic() < deadline, c.said()
            reply = carla.ask("GET", f"{files}/{event}", timeout_ms=500)
            if reply.status == 202:
                least = min(least, reply.json["received"])
        assert least == kept, "it began anew"
        assert reply.status == 200 and reply.raw == content
        assert came() == 0 and not list((c.folder / "media" / "waiting").glob("*/*"))
        assert " error " not in c.log.read_text(), c.said()
        b.kill()


def brings(who: Person, room: str, files: str, content: bytes) -> str:
    """Somebody brings a file and tells of it."""
    brought = who.must("POST", files, content)
    assert brought["sha3sum"] == hashlib.sha3_512(content).hexdigest()
    event: str = who.must("PUT", f"/rooms/{room}/send/org.homeserver.file/1", {**brought, "displayName": "large.bin"})["event_id"]
    return event


def until(found: Callable[[], Any], what: str, pause: float = 0.2) -> None:
    """Wait for something."""
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, f"in vain for: {what}"
        time.sleep(pause)


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder
