"""Acknowledged means durable: the server is killed under load, again and again, and keeps every promise without a repair."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from homeserver.events.errors import Malformed
from tests.certificates import Authority
from tests.real import invariants, processes
from tests.real.load import ROOM, Promises, Worker
from tests.real.people import Person, register
from tests.real.processes import Program

KILLS = {"sqlite": 20, "postgres": 6}
WORKERS = 6
LONGEST_START = 15.0  # seconds: a repair would grow with the data, and take longer on slow machines

SOME = "(SELECT MAX(num) FROM events WHERE type = 'm.room.message')"
DAMAGES = (
    f"DELETE FROM events WHERE num = {SOME}",
    f"UPDATE events SET body = envelope WHERE num = {SOME}",
    "UPDATE rooms SET last_order = last_order - 1",
    "UPDATE rooms SET joined_members = joined_members + 1",
    "DELETE FROM state_nodes WHERE id = (SELECT state_root FROM rooms ORDER BY room_id LIMIT 1)",
    "DELETE FROM current_state WHERE num = (SELECT MAX(num) FROM current_state)",
    "UPDATE members SET membership = 'knock' WHERE num = (SELECT MAX(num) FROM members)",
    "DELETE FROM rooms WHERE room_id = (SELECT MAX(room_id) FROM rooms)",
)


def test_what_was_promised_outlives_the_process(engine: str, authority: Authority, tmp_path: Path) -> None:
    chance, promises = random.Random(11), Promises()
    with processes.homeserver(tmp_path, authority, engine) as server:
        watcher = register(server.url, "watcher")
        promises.rooms = {watcher.creates(**ROOM) for _ in range(3)}
        people = [register(server.url, f"worker-{number}") for number in range(WORKERS)]
        workers = [Worker(person, promises, random.Random(number)) for number, person in enumerate(people)]
        for _ in range(KILLS[engine]):
            before = set(promises.sent)
            under_load(server, workers, chance.uniform(0.02, 0.6))
            assert invariants.check_file(server.database) >= len(promises.sent)
            assert server.start() < LONGEST_START
            assert_kept(promises, people, promises.sent.keys() - before)
            watch(watcher, promises)
        assert len(promises.sent) > 10 * KILLS[engine]
        once_each(watcher, promises)
        assert " error " not in server.log.read_text(), server.said()
        server.kill()
        assert_damage_is_seen(server.database)


def assert_damage_is_seen(where: str) -> None:
    """The watcher of these tests is awake."""
    with invariants.connected(where, writes=True) as rows:
        for damage in DAMAGES:
            rows("BEGIN")
            rows(damage)
            with pytest.raises((AssertionError, KeyError, Malformed)):
                invariants.check(rows)
            rows("ROLLBACK")
        invariants.check(rows)


def under_load(server: Program, workers: list[Worker], seconds: float) -> None:
    """Everybody works; then the process is killed."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(workers)) as pool:
        working: list[Future[None]] = [pool.submit(worker.works, stop) for worker in workers]
        time.sleep(seconds)
        server.kill()
        stop.set()
    for each in working:
        each.result()


def assert_kept(promises: Promises, people: list[Person], fresh: set[str]) -> None:
    """What was answered is there; what was not can be asked for again, and happens once."""
    for event_id in fresh:
        room, text = promises.sent[event_id]
        sender = next(one for one in people if text.startswith(one.name + " "))
        assert sender.must("GET", f"/rooms/{room}/event/{event_id}")["content"]["body"] == text
    promises.repeat()
    for one in people:
        rooms = set(one.must("GET", "/joined_rooms")["joined_rooms"])
        for (user, room), is_in in promises.joined.items():
            assert user != one.user_id or (room in rooms) == is_in


def watch(watcher: Person, promises: Promises) -> None:
    """Somebody is in all rooms, and goes on from where their client was."""
    watcher.syncs()
    for room in sorted(promises.rooms - watcher.rooms.keys()):
        watcher.joins(room)
    watcher.syncs()


def once_each(watcher: Person, promises: Promises) -> None:
    """Every room has everything that was said in it once, and the watcher's timelines missed nothing."""
    for room in promises.rooms:
        told = [event for event in watcher.history(room) if "body" in event["content"]]
        texts = Counter(event["content"]["body"] for event in told)
        assert set(texts.values()) <= {1}
        assert {text for where, text in promises.sent.values() if where == room} <= texts.keys()
        synced = [event["event_id"] for event in watcher.events[room] if "body" in event["content"]]
        assert synced == [event["event_id"] for event in told][len(told) - len(synced) :]
