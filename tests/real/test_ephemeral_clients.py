"""Ordinary clients in ephemeral rooms: they know nothing of them, and show what is said while they are there."""

import asyncio
import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nio
import pytest

from tests.real.nio_clients import Nio, clients, expect, fresh, known, says
from tests.real.people import Person
from tests.real.processes import Program
from tests.real.sides import person

SDK = "matrix-js-sdk@37.5.0"
WISH = {"preset": "public_chat", "creation_content": {"org.homeserver.delivery": "ephemeral"}}


def test_nio_clients_hear_each_other_and_find_nothing_afterwards(ours: Program, tmp_path: Path) -> None:
    async def story() -> None:
        async with clients(tmp_path, (ours.url, fresh("alice")), (ours.url, fresh("bob"))) as (alice, bob):
            room = await met(alice, bob)
            for one, other in ((alice, bob), (bob, alice)):
                await says(one, room, f"from {one.user_id}")
                event = await other.hears(room, f"from {one.user_id}")
                assert event.decrypted and event.sender == one.user_id
            event_id = next(event.event_id for there, event in bob.seen if getattr(event, "body", "") == f"from {alice.user_id}")
            expect(nio.RoomRedactResponse, await alice.client.room_redact(room, event_id))
            await bob.awaits(lambda: any(isinstance(event, nio.RedactionEvent) for _, event in bob.seen) or None)
            page = expect(nio.RoomMessagesResponse, await bob.client.room_messages(room, "", limit=100))
            assert not any(isinstance(event, nio.MegolmEvent | nio.RoomMessageText) for event in page.chunk)

    asyncio.run(story())


async def met(alice: Nio, bob: Nio) -> str:
    """An ephemeral room with both, each knowing the other's devices."""
    wish = {"invite": [bob.user_id], **WISH}
    path = nio.Api._build_path(["createRoom"], {"access_token": alice.client.access_token})
    answer = await alice.client.send("POST", path, json.dumps(wish), {"Content-Type": "application/json"})
    room: str = (await answer.json())["room_id"]
    await bob.awaits(lambda: room in bob.invites or None)
    expect(nio.JoinResponse, await bob.client.join(room))
    for one, other in ((alice, bob), (bob, alice)):
        await one.awaits(lambda one=one, other=other: known(one, room, other))  # type: ignore[misc]
        await one.awaits(lambda one=one: one.client.rooms[room].encrypted or None)  # type: ignore[misc]
    return room


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with matrix-js-sdk."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("matrix-js-sdk needs node and npm, which are not on this machine")
    folder = tmp_path_factory.mktemp("sdk")
    done = subprocess.run(["npm", "install", "--prefix", str(folder), SDK], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Script:
    """The client, and what it printed."""

    def __init__(self, command: list[str]) -> None:
        self.running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.told: list[dict[str, Any]] = []
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.running.stdout is not None
        for line in self.running.stdout:
            self._lines.put(line)

    def awaits(self, found: Callable[[dict[str, Any]], bool], patience: float = 30) -> dict[str, Any]:
        """The first thing like this that it prints."""
        until = time.monotonic() + patience
        while True:
            for one in self.told:
                if found(one):
                    return one
            try:
                self.told.append(json.loads(self._lines.get(timeout=max(0.0, until - time.monotonic()))))
            except queue.Empty:
                raise AssertionError(f"in vain; it said {self.told}") from None


@pytest.fixture
def scripts(sdk: Path) -> Iterator[Callable[[Person], Script]]:
    """Starts clients, and ends them."""
    running: list[Script] = []

    def start(one: Person) -> Script:
        file = Path(__file__).with_name("js_client.mjs")
        running.append(Script(["node", str(file), str(sdk), one.url, one.name, "a long password"]))
        running[-1].awaits(lambda told: told.get("state") == "PREPARED")
        return running[-1]

    yield start
    for script in running:
        script.running.kill()
        script.running.wait()


def test_matrix_js_sdk_emits_what_is_said(ours: Program, scripts: Callable[[Person], Script]) -> None:
    alice, bob = person(ours, "alice"), person(ours, "bob")
    room = alice.creates(**WISH)
    bob.joins(room)
    script = scripts(bob)
    content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnACgAkLmt6qF84IK", "session_id": "s"}
    ids = [alice.must("PUT", f"/rooms/{room}/send/m.room.encrypted/{number}", content)["event_id"] for number in range(3)]
    for event_id in ids:
        told = script.awaits(lambda told, event_id=event_id: told.get("id") == event_id)
        assert told == {"room": room, "id": event_id, "type": "m.room.encrypted", "sender": alice.user_id, "content": content}
    alice.must("PUT", f"/rooms/{room}/redact/{ids[0]}/r", {})
    script.awaits(lambda told: told.get("redacted") == ids[0])
    alice.must("POST", f"/rooms/{room}/receipt/m.read/{ids[2]}", {})
    script.awaits(lambda told: ids[2] in told.get("read", ()))
    assert [one["id"] for one in script.told if one.get("id") in ids] == ids, "each once"
    again = scripts(bob)
    assert not any(one.get("id") in ids for one in again.told), "who comes later has missed it"
