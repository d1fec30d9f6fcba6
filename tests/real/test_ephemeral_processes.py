"""Ephemeral rooms on a server of two real processes: whoever is at the other one hears the same, over the bus."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.certificates import Authority
from tests.real import processes
from tests.real.doors import Line, one_each, register
from tests.real.processes import Program

WISH = {"preset": "public_chat", "creation_content": {"org.homeserver.delivery": "ephemeral"}}


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    with processes.homeserver(tmp_path_factory.mktemp("two"), authority, "postgres", {"workers": 2}) as program:
        yield program


def hears(line: Line, who: dict[str, str], room: str, since: str) -> tuple[list[dict[str, Any]], str]:
    """What is said, as soon as something is."""
    said: list[dict[str, Any]] = []
    while not said:
        found = line.must("GET", "/sync", token=who["access_token"], since=since, timeout=10_000)
        since = found["next_batch"]
        events = found.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {}).get("events", [])
        said = [event for event in events if "state_key" not in event]
    return said, since


def test_both_processes_tell_the_same(server: Program) -> None:
    a, b = one_each(server)
    alice, bob = register(a, "alice"), register(b, "bob")
    room = a.must("POST", "/createRoom", WISH, token=alice["access_token"])["room_id"]
    b.must("POST", f"/join/{room}", {}, token=bob["access_token"])
    place = b.must("GET", "/sync", token=bob["access_token"])["next_batch"]
    for number, (here, there) in enumerate([(a, b), (b, a)] * 3):
        path = f"/rooms/{room}/send/m.room.encrypted/{number}"
        content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": str(number), "session_id": "s"}
        event_id = here.must("PUT", path, content, token=alice["access_token"])["event_id"]
        heard, place = hears(there, bob, room, place)
        assert [event["event_id"] for event in heard] == [event_id]
        assert there.must("PUT", path, content, token=alice["access_token"])["event_id"] == event_id, "the same transaction"
        redacted = there.must("PUT", f"/rooms/{room}/redact/{event_id}/r{number}", {}, token=alice["access_token"])["event_id"]
        heard, place = hears(here, bob, room, place)
        assert [event["event_id"] for event in heard] == [redacted]
