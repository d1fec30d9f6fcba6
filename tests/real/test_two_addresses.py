"""One server on two addresses, as on two machines: each process has settings of its own, and the bus runs between the addresses."""

import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.ports import free_port
from tests.real import processes
from tests.real.doors import Line, register
from tests.real.processes import PATIENCE, Program


def test_what_is_told_and_what_is_said_passes_between_the_addresses(
    request: pytest.FixtureRequest, authority: Authority, tmp_path: Path
) -> None:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    (here := tmp_path / "here").mkdir()
    bus = "{{host: {host}, port: {port}}}"
    places = bus.format(host="127.0.0.1", port=free_port()), bus.format(host="127.0.0.2", port=free_port())
    with processes.homeserver(here, authority, "postgres", {"bus": places[0]}) as one:
        other = _beside(one, tmp_path / "there", places)
        try:
            other.start()
            _speak(Line(one.url), Line(other.url))
        finally:
            other.kill()


def _beside(one: Program, folder: Path, places: tuple[str, str]) -> Program:
    """The same server once more, on ports of its own."""
    shutil.copytree(one.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
    plain, secure = free_port(), free_port()
    settings = (one.folder / "homeserver.yaml").read_text().replace(*places)
    for old, new in ((one.url, plain), (one.name, secure)):
        settings = settings.replace(f"port: {old.rpartition(':')[2]},", f"port: {new},")
    (folder / "homeserver.yaml").write_text(settings)
    command = [sys.executable, "-m", "homeserver", "run", str(folder / "homeserver.yaml")]
    return Program(one.name, f"http://127.0.0.1:{plain}", command, folder, folder / "log", one.database)


def _speak(a: Line, b: Line) -> None:
    alice, bob = register(a, "alice"), register(b, "bob")
    one, two = alice["access_token"], bob["access_token"]
    room = a.must("POST", "/createRoom", {"preset": "public_chat"}, token=one)["room_id"]
    b.must("POST", f"/join/{room}", {}, token=two)
    since = b.must("GET", "/sync", token=two)["next_batch"]
    told: list[str] = []
    until = time.monotonic() + PATIENCE
    while alice["user_id"] not in told:
        assert time.monotonic() < until
        for typing in (False, True):
            a.must("PUT", f"/rooms/{room}/typing/{alice['user_id']}", {"typing": typing, "timeout": 20000}, token=one)
        found = b.must("GET", "/sync", token=two, since=since, timeout=1000)
        since, section = found["next_batch"], found.get("rooms", {}).get("join", {}).get(room, {})
        told += [user for event in section.get("ephemeral", {}).get("events", []) for user in event["content"].get("user_ids", [])]
    said = a.must("PUT", f"/rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "x"}, token=one)["event_id"]
    found = b.must("GET", "/sync", token=two, since=since, timeout=5000)
    assert [event["event_id"] for event in found["rooms"]["join"][room]["timeline"]["events"]] == [said]
