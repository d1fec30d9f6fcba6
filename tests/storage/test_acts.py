"""The laws of grouped acts: each is whole or absent, whatever happens to its neighbours."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from homeserver.storage.database import Database, DatabaseError, Duplicate, Retry, Transaction, Unavailable, Unstorable
from homeserver.storage.positions import Token
from tests import databases
from tests.storage.notes import make_table, note, notes, numbers, result, together


@pytest.fixture
def database(engine: str) -> Database:
    made = databases.fresh(engine)
    make_table(made)
    return made


class Refusal(Exception):
    """What an act raises when it changes its mind."""


def refuses(number: int, *, looks: bool = False) -> Callable[[Transaction], None]:
    def act(txn: Transaction) -> None:
        note(txn, number)
        if looks:
            notes(txn)
        raise Refusal

    return act


def takes(number: int, *, looks: bool = False) -> Callable[[Transaction], int]:
    def act(txn: Transaction) -> int:
        place = note(txn, number)
        assert not looks or number in notes(txn)
        return place

    return act


def test_an_act_sees_its_own_rows_and_those_of_earlier_acts_of_the_group(database: Database) -> None:
    seen = together(database, takes(1), takes(2), notes, takes(3), notes)
    assert seen[2] == [1, 2] and seen[4] == [1, 2, 3]
    assert database.counts.groups == 2  # the table's making, and this


def test_rows_are_flushed_once_for_the_whole_group(database: Database) -> None:
    before = database.counts.statements
    together(database, *(takes(number) for number in range(40)))
    assert database.counts.statements - before <= 3
    assert result(database.read(notes)) == list(range(40))


@pytest.mark.parametrize("looks", [False, True])
def test_an_act_that_fails_in_the_middle_leaves_its_neighbours_whole(database: Database, looks: bool) -> None:
    answers = together(database, takes(1), takes(2), refuses(3, looks=looks), takes(4), refuses(5, looks=looks))
    assert isinstance(answers[2], Refusal) and isinstance(answers[4], Refusal)
    assert result(database.read(notes)) == [1, 2, 4]
    assert numbers(answers) == sorted(numbers(answers))
    assert database.now().covers(answers[3])


def test_rows_of_earlier_acts_that_were_flushed_within_a_failing_act_are_not_lost(database: Database) -> None:
    def looks_and_refuses(txn: Transaction) -> None:
        assert notes(txn) == [1, 2]
        note(txn, 3)
        assert notes(txn) == [1, 2, 3]
        raise Refusal

    together(database, takes(1), takes(2), looks_and_refuses, takes(4), looks_and_refuses)
    assert result(database.read(notes)) == [1, 2, 4]


def test_a_bad_row_is_blamed_on_the_act_that_brought_it(database: Database) -> None:
    result(database.write(note, 7))
    answers = together(database, takes(1), takes(7), notes, takes(2))
    assert isinstance(answers[1], Duplicate)
    assert answers[2] == [1, 7]
    assert result(database.read(notes)) == [1, 2, 7]
    assert database.counts.reruns == 1


def test_an_act_whose_row_is_there_by_now_looks_once_more(database: Database) -> None:
    tries: list[int] = []

    def answers(txn: Transaction) -> str:
        tries.append(1)
        if len(tries) > 1 and 7 in notes(txn):
            return "was here"
        note(txn, 7)
        return "new"

    result(database.write(note, 7))
    assert result(database.write(answers)) == "was here"
    assert len(tries) == 2


def test_an_act_whose_statement_is_refused_fails_alone(database: Database) -> None:
    def wrong(txn: Transaction) -> None:
        note(txn, 2)
        txn.run("INSERT INTO notes (id, text) VALUES (1, NULL)")

    answers = together(database, takes(1), wrong, lambda txn: txn.all("SELEC"), lambda txn: txn.all("SELECT * FROM nowhere"), takes(3))
    assert [isinstance(answer, DatabaseError) for answer in answers] == [False, True, True, True, False]
    assert result(database.read(notes)) == [1, 3]


def test_effects_follow_the_commit_and_only_the_commit(database: Database) -> None:
    happened: list[Any] = []
    watch, other = database.wakeups.watch({"kept"}), database.wakeups.watch({"gone"})

    def keeps(txn: Transaction) -> None:
        note(txn, 1)
        txn.on_commit(lambda: happened.append((database.now(), result(database.read(notes)))))
        txn.memory.put("kept", 1, 1)
        txn.wake("kept")

    def fails(txn: Transaction) -> None:
        assert txn.memory.get("kept") == 1 and database.memory.get("kept") is None
        txn.on_commit(happened.append, "never")
        txn.memory.put("gone", 1, 1)
        txn.wake("gone")
        raise Refusal

    together(database, keeps, fails)
    assert happened == [(Token.of({0: 1}), [1])]
    assert (database.memory.get("kept"), database.memory.get("gone")) == (1, None)
    assert (watch.fired, other.fired) == (True, False)


def test_positions_and_numbers_are_never_given_twice(database: Database) -> None:
    def many(txn: Transaction) -> list[tuple[int, int]]:
        return [(txn.position(), txn.number()) for _ in range(3)]

    given_out = [pair for answer in together(database, many, refuses(1), many) if isinstance(answer, list) for pair in answer]
    given_out += result(database.write(many))
    positions, event_numbers = zip(*given_out, strict=True)
    assert list(positions) == list(range(1, 10))
    assert len(set(event_numbers)) == 9
    assert str(database.now()) == "p1_0.9"


def test_an_act_may_ask_for_what_it_lacks_and_runs_again(database: Database) -> None:
    runs: list[int] = []
    result(database.write(note, 1))

    def needs(txn: Transaction) -> list[int]:
        runs.append(note(txn, 2))
        first = txn.need("notes", notes)
        more = txn.need(("more", 5), lambda reader, number: [number, *notes(reader)], 5)
        return [*first, *more]

    assert result(database.write(needs)) == [1, 5, 1]
    assert len(runs) == 3 and len(set(runs)) == 1  # the position of a run that was taken back is free again
    assert result(database.read(notes)) == [1, 2]
    assert result(database.read(lambda txn: txn.need("notes", notes))) == [1, 2]


def test_an_act_may_ask_for_work_outside_of_any_transaction(database: Database) -> None:
    work: Deferred[str] = Deferred()

    async def resolve(what: str) -> str:
        return what + await work

    def act(txn: Transaction) -> str:
        note(txn, 1)
        return str(txn.outside("answer", resolve, "4"))

    writing = database.write(act)
    assert not writing.called
    assert result(database.read(notes)) == []
    result(database.write(note, 5))
    work.callback("2")
    assert result(writing) == "42"
    assert result(database.read(notes)) == [1, 5]


def test_work_outside_that_fails_fails_the_act(database: Database) -> None:
    async def fails() -> None:
        raise Refusal

    with pytest.raises(Refusal):
        result(database.write(lambda txn: txn.outside("x", fails)))


def test_an_act_that_was_overtaken_runs_again_but_not_for_ever(database: Database) -> None:
    tries: list[int] = []

    def twice(txn: Transaction) -> str:
        note(txn, 1)
        tries.append(1)
        if len(tries) < 3:
            raise Retry
        return "done"

    answers = together(database, takes(5), twice, takes(6))
    assert answers[1] == "done" and result(database.read(notes)) == [1, 5, 6]
    assert numbers(answers) == sorted(numbers(answers))

    def never(txn: Transaction) -> None:
        raise Retry

    with pytest.raises(Unavailable):
        result(database.write(never))


def test_the_context_of_the_caller_goes_with_the_act(database: Database) -> None:
    request: ContextVar[str] = ContextVar("request")
    request.set("PUT /send")
    assert result(database.write(lambda txn: request.get())) == "PUT /send"
    assert result(database.read(lambda txn: request.get())) == "PUT /send"


def test_a_read_sees_what_the_token_before_it_covers(database: Database) -> None:
    result(database.write(note, 1))
    token = result(database.read(lambda txn: txn.token()))
    assert token == database.now()
    assert result(Deferred.fromCoroutine(database.reach(token, 0))) is True
    assert result(Deferred.fromCoroutine(database.reach(Token.of({0: 99}), 0))) is False


acts = st.lists(
    st.builds(
        lambda make, number, looks: make(number, looks=looks), st.sampled_from([takes, refuses]), st.integers(0, 12), st.booleans()
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(acts, max_size=3))
def test_a_group_comes_to_the_same_as_its_acts_one_by_one(database: Database, groups: list[list[Callable[[Transaction], Any]]]) -> None:
    result(database.write(lambda txn: txn.run("DELETE FROM notes")))
    alone = databases.fresh(database.engine)
    make_table(alone)
    for group in groups:
        expected = [together(alone, act)[0] for act in group]
        assert [type(answer) for answer in together(database, *group)] == [type(answer) for answer in expected]
        assert result(database.read(notes)) == result(alone.read(notes))
    alone.close()


@pytest.mark.parametrize("value", ["a\0b", "half \ud800", 1 << 70, object()])
def test_a_value_that_cannot_be_stored_fails_its_act_alone(database: Database, value: object) -> None:
    """Buffered or not: neither its neighbours suffer, nor the writer."""
    column = "id" if isinstance(value, int) else "text"
    row = {"id": 5, "text": "", column: value}
    answers = together(
        database,
        takes(1),
        lambda txn: txn.insert("notes", **row),
        takes(2, looks=True),
        lambda txn: txn.run("INSERT INTO notes (id, text) VALUES (:id, :text)", **row),
        lambda txn: txn.many("INSERT INTO notes (id, text) VALUES (:id, :text)", [row]),
        takes(3),
    )
    assert [isinstance(answer, DatabaseError) for answer in answers] == [False, True, False, True, True, False]
    assert isinstance(answers[1], Unstorable) == (type(value) is not object)
    assert result(database.read(notes)) == [1, 2, 3]


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    for asked in (database.read(notes), database.write(note, 1)):
        with pytest.raises(Unavailable):
            result(asked)
