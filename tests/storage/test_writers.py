"""Several processes that write to one PostgreSQL database, and a database that goes away."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from twisted.internet.defer import Deferred

from homeserver.events.identifiers import RoomID
from homeserver.storage import leases
from homeserver.storage.database import Database, Transaction
from homeserver.storage.hints import LARGEST, payloads
from homeserver.storage.opening import open_database
from homeserver.storage.positions import Token
from tests import databases
from tests.storage.notes import TABLE, Loop, note, notes


@pytest.fixture
def where(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    with databases.migrated("postgres", tmp_path) as address:
        yield address


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def pair(where: str, loop: Loop) -> Iterator[tuple[Database, Database]]:
    one, other = open_database(where, loop), open_database(where, loop)
    loop.run(one.write(lambda txn: txn.run(TABLE)), one.write(note, 0, "start"))
    yield one, other
    one.close()
    other.close()


def sql(where: str, statement: str) -> Any:
    connection = psycopg2.connect(where)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def locks(txn: Transaction, number: int, text: str) -> str:
    """Change a note under its lock; what it was."""
    row = txn.lock("SELECT text FROM notes WHERE id = :id FOR UPDATE", id=number)
    assert row is not None
    txn.run("UPDATE notes SET text = :text WHERE id = :id", id=number, text=text)
    return str(row[0])


def test_each_writer_has_a_stream_of_its_own_in_commit_order(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair
    acts = [database.write(note, 2 * number + index) for number in range(1, 300) for index, database in enumerate(pair)]
    places = loop.run(*acts)
    assert len(set(places)) == len(places)
    assert places[::2] == sorted(places[::2]) and places[1::2] == sorted(places[1::2])
    assert {place >> 40 for place in places[::2]} == {0} and {place >> 40 for place in places[1::2]} == {1}
    loop.until(lambda: one.now() == other.now())


def test_whoever_sees_a_position_sees_all_before_it_in_its_stream(pair: tuple[Database, Database], loop: Loop) -> None:
    """A reader that polls by token gets every row exactly once, however commits of two writers interleave."""
    one, other = pair

    def placed(txn: Transaction, number: int) -> None:
        txn.insert("notes", id=number, text=str(txn.position()))

    def since(txn: Transaction, token: Token) -> tuple[Token, list[int]]:
        upto = Token.of(dict(txn.all("SELECT writer, count FROM writers")))
        found = []
        for low, high in token.ranges(upto):
            query = "SELECT id FROM notes WHERE id > 0 AND CAST(text AS BIGINT) > :low AND CAST(text AS BIGINT) <= :high"
            found += [number for (number,) in txn.all(query, low=low, high=high)]
        return upto, found

    acts = [database.write(placed, 2 * number + index) for number in range(1, 200) for index, database in enumerate((one, other))]
    token, seen = Token(), []
    while len(seen) < len(acts):
        ((token, found),) = loop.run(one.read(since, token))
        seen += found
    loop.run(*acts)
    assert sorted(seen) == list(range(2, 400))


def test_whoever_is_told_of_an_act_is_told_of_what_it_came_after(pair: tuple[Database, Database], loop: Loop) -> None:
    """Although the other process has not been heard yet: else two messages of a room would be told in the wrong order."""
    one, other = pair
    (place,) = loop.run(one.write(note, 1))

    def after(txn: Transaction) -> tuple[int, bool]:
        txn.saw(place)
        return note(txn, 2), other.now().covers(place)

    other.heard = lambda token, keys: None  # type: ignore[method-assign]
    ((second, _),) = loop.run(other.write(after))
    assert other.now().covers(second) and other.now().covers(place)


def test_a_read_knows_exactly_how_far_it_sees(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair
    other.heard = lambda token, keys: None  # type: ignore[method-assign]
    for number in range(1, 20):
        (place,) = loop.run(one.write(note, number))
        ((token, seen),) = loop.run(other.read(lambda txn: (txn.token(), notes(txn))))
        assert token.covers(place) and number in seen
    loop.run(Deferred.fromCoroutine(other.catch_up()))
    assert other.now().covers(place)


def test_an_answer_waits_for_what_is_called_after_the_commit(pair: tuple[Database, Database], loop: Loop) -> None:
    one, _ = pair
    gate: Deferred[None] = Deferred()
    called: list[bool] = []

    def waits() -> Deferred[None]:
        called.append(True)
        return gate

    answer = one.write(lambda txn: txn.on_commit(waits))
    loop.until(lambda: bool(called))
    assert not answer.called
    gate.callback(None)
    loop.run(answer)


def test_a_lease_ends_with_the_connection_of_its_holder(where: str, loop: Loop) -> None:
    one, other = open_database(where, loop), open_database(where, loop)
    assert loop.run(one.write(leases.hold, "work", "one", 60_000)) == [True]
    assert loop.run(other.write(leases.hold, "work", "other", 60_000)) == [False]
    assert loop.run(one.write(leases.hold, "work", "one", 60_000), other.read(leases.held, "wo")) == [True, {"work": "one"}]
    (session,) = loop.run(one.write(lambda txn: txn.value("SELECT pg_backend_pid()")))
    sql(where, f"SELECT pg_terminate_backend({session})")
    loop.until(lambda: loop.run(other.write(leases.hold, "work", "other", 60_000)) == [True])
    assert loop.run(one.write(leases.hold, "work", "one", 60_000)) == [False]
    loop.run(other.write(leases.leave, "work", "other"))
    assert loop.run(one.write(leases.hold, "work", "one", 60_000)) == [True]
    one.close()
    other.close()


def test_an_act_that_would_wait_for_another_process_goes_first_in_the_next_group(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair
    held, free = threading.Event(), threading.Event()

    def holds(txn: Transaction) -> str:
        was = locks(txn, 0, "held")
        held.set()
        assert free.wait(10)
        return was

    holding = one.write(holds)
    assert held.wait(10)
    started, busy = threading.Event(), threading.Event()
    ahead = other.write(lambda txn: (started.set(), busy.wait(10)))
    assert started.wait(10)
    first = other.write(note, 1)
    blocked = other.write(locks, 0, "second")
    behind = other.write(note, 2)
    busy.set()
    loop.run(ahead, first)  # its group was committed, although the next act had to wait
    free.set()
    assert loop.run(holding, blocked)[:2] == ["start", "held"]
    loop.run(behind)
    assert loop.run(one.read(notes)) == [[0, 1, 2]]
    assert other.counts.again >= 1


def test_two_processes_that_lock_the_same_rows_crosswise_both_come_through(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair
    loop.run(*(one.write(note, number, "") for number in range(1, 6)))

    def adds(txn: Transaction, order: list[int]) -> None:
        for number in order:
            row = txn.lock("SELECT text FROM notes WHERE id = :id FOR UPDATE", id=number)
            assert row is not None
            txn.run("UPDATE notes SET text = :text WHERE id = :id", id=number, text=row[0] + "x")

    upward, downward = [1, 2, 3, 4, 5], [5, 4, 3, 2, 1]
    acts = [database.write(adds, order) for _ in range(40) for database, order in ((one, upward), (other, downward))]
    assert loop.run(*acts) == [None] * 80
    texts = loop.run(one.read(lambda txn: txn.all("SELECT text FROM notes WHERE id > 0")))[0]
    assert texts == [("x" * 80,)] * 5


def test_what_one_process_commits_wakes_those_who_wait_in_another(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair

    def speak(txn: Transaction, number: int) -> int:
        txn.wake("!room")
        return note(txn, number)

    for number in range(1, 4):  # the first may be woken by the start of the other alone
        watch = other.wakeups.watch({"!room"})
        (place,) = loop.run(one.write(speak, number))
        loop.until(lambda watch=watch, place=place: watch.fired and other.now().covers(place))


def test_a_writer_that_left_is_followed_by_one_with_its_number(where: str, loop: Loop) -> None:
    first = open_database(where, loop)
    loop.run(first.write(lambda txn: txn.run(TABLE)))
    (place,) = loop.run(first.write(note, 1))
    first.close()
    second = open_database(where, loop)
    assert loop.run(second.write(note, 2)) == [place + 1]
    second.close()


def test_a_writer_whose_lease_was_taken_commits_under_another_number(pair: tuple[Database, Database], loop: Loop) -> None:
    one, _ = pair
    loop.run(one.write(note, 1))
    sql(pair_address(one), "UPDATE writers SET holder = 'somebody else' WHERE writer = 0 RETURNING 1")
    (place,) = loop.run(one.write(note, 2))
    assert place >> 40 == 2
    assert loop.run(one.read(notes)) == [[0, 1, 2]]


def pair_address(database: Database) -> str:
    return str(database._links[0]._dsn)  # type: ignore[attr-defined]


def test_after_the_connections_were_cut_everything_goes_on(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair
    loop.run(one.write(note, 1))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for number in range(2, 6):
        sql(pair_address(one), cut)
        loop.run(one.write(note, number), other.write(note, number + 100))
        assert number in loop.run(one.read(notes))[0]
    assert loop.run(other.read(notes)) == [[0, 1, 2, 3, 4, 5, 102, 103, 104, 105]]


def test_a_connection_cut_in_the_middle_of_work_neither_loses_nor_repeats_an_act(pair: tuple[Database, Database], loop: Loop) -> None:
    one, _ = pair
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def adds(txn: Transaction) -> None:
        txn.run("UPDATE notes SET text = text || 'x' WHERE id = 0")

    acts = []
    for _ in range(10):
        acts += [one.write(adds) for _ in range(70)]
        sql(pair_address(one), cut)
    answers = loop.run(*acts)
    assert answers.count(None) == len(acts)
    assert loop.run(one.read(lambda txn: len(txn.value("SELECT text FROM notes WHERE id = 0")))) == [len("start") + len(acts)]


def test_large_hints_are_told_in_pieces() -> None:
    keys = [f"!room{number}:example.org" for number in range(2000)]
    pieces = list(payloads(Token.of({1: 5}), keys * 2))
    assert len(pieces) > 1 and all(len(piece) < LARGEST + 200 for piece in pieces)


def test_processes_that_write_to_the_same_rooms_wait_for_each_other_and_run_nothing_twice(
    pair: tuple[Database, Database], loop: Loop
) -> None:
    """Each takes the locks of a group in the order of the rooms: no circle, so nobody has to take back what was done."""
    one, other = pair
    rooms = [RoomID(f"!{name}") for name in "abcdef"]
    table = "CREATE TABLE IF NOT EXISTS counters (room_id TEXT PRIMARY KEY, count BIGINT NOT NULL)"
    loop.run(one.write(lambda txn: txn.run(table)))
    loop.run(*(one.write(lambda txn, room: txn.insert("counters", room_id=room, count=0), room) for room in rooms))
    loop.until(lambda: other.now() == one.now())

    def adds(txn: Transaction, room: RoomID) -> int:
        row = txn.lock("SELECT count FROM counters WHERE room_id = :room FOR UPDATE", room=room)
        assert row is not None
        txn.run("UPDATE counters SET count = :count WHERE room_id = :room", room=room, count=row[0] + 1)
        return int(row[0])

    turns = [rooms[at:] + rooms[:at] for at in range(len(rooms))] * 8
    acts = [database.write(adds, room) for turn in turns for room in turn for database in pair]
    counted = sorted(loop.run(*acts))
    assert counted == sorted(list(range(2 * len(turns))) * len(rooms))
    # A wait is bounded, and what was waited for too long runs again.
    assert sum(database.counts.again + database.counts.reruns for database in pair) <= len(acts) // 20
    assert sum(database.counts.groups for database in pair) < len(acts)


def test_work_without_a_position_wakes_other_processes(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair
    loop.run(one.write(note, 1))
    loop.until(lambda: other.now() == one.now())
    other.heard_first(one.now(), one.writer, [])
    with other.wakeups.watch(["outbox"]) as watch:
        loop.run(one.write(lambda txn: txn.wake("outbox")))
        loop.until(lambda: watch.fired)


def test_what_another_process_says_is_told_together_with_what_is_being_written(pair: tuple[Database, Database], loop: Loop) -> None:
    one, other = pair
    loop.run(one.write(note, 1))
    loop.until(lambda: other.now() == one.now())
    with other.wakeups.watch(["!room"]) as watch:
        other.heard_first(one.now(), one.writer, ["!room"])
        assert watch.fired
    begun, done = threading.Event(), threading.Event()
    with other.wakeups.watch(["!room"]) as watch:
        writing = other.write(lambda txn: (begun.set(), done.wait(10), note(txn, 2)))
        assert begun.wait(10)
        other.heard_first(one.now(), one.writer, ["!room"])
        assert not watch.fired
        done.set()
        loop.run(writing)
        assert watch.fired
