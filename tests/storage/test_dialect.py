"""One spelling of SQL: what it means on both engines."""

import pytest

from homeserver.storage.database import Database, DatabaseError, Transaction
from homeserver.storage.dialect import conflict_of, script, spell
from tests.storage.notes import make_table, note, notes, result


@pytest.fixture
def filled(database: Database) -> Database:
    make_table(database)
    result(database.write(lambda txn: [note(txn, number, "abc"[number % 3]) for number in range(10)]))
    return database


def ask(database: Database, sql: str, **parameters: object) -> list[tuple[object, ...]]:
    return list(result(database.read(lambda txn: txn.all(sql, **parameters))))


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_membership_in_lists_of_any_size(filled: Database, kind: type) -> None:
    for size in (0, 1, 2, 3, 7, 200, 300, 70_000):
        asked = kind(range(size))
        assert len(ask(filled, "SELECT id FROM notes WHERE id IN :asked", asked=asked)) == min(size, 10)
        assert len(ask(filled, "SELECT id FROM notes WHERE id NOT IN :asked", asked=asked)) == max(10 - size, 0)


def test_membership_of_texts_and_of_bytes(database: Database) -> None:
    blob = "BLOB" if database.engine == "sqlite" else "BYTEA"
    result(database.write(lambda txn: txn.run(f"CREATE TABLE nodes (id {blob} PRIMARY KEY, text TEXT NOT NULL)")))
    result(database.write(lambda txn: [txn.insert("nodes", id=bytes([n, 0, 255]), text=f"t{n}") for n in range(5)]))
    for size in (0, 1, 5, 1000):
        keys = [n.to_bytes(2, "little") + b"\xff" for n in range(size)]
        assert len(ask(database, "SELECT id FROM nodes WHERE id IN :keys", keys=keys)) == min(size, 5)
        texts = [f"t{n}" for n in range(size)]
        assert len(ask(database, "SELECT id FROM nodes WHERE text IN :texts", texts=texts)) == min(size, 5)
    assert ask(database, "SELECT id FROM nodes WHERE id = :id", id=b"\x01\x00\xff") == [(b"\x01\x00\xff",)]


def test_membership_of_pairs(filled: Database) -> None:
    query = "SELECT id FROM notes WHERE (id, text) IN :pairs ORDER BY id"
    assert ask(filled, query, pairs=[(0, "a"), (1, "a"), (2, "c")]) == [(0,), (2,)]
    assert ask(filled, query, pairs=[]) == []
    assert ask(filled, query, pairs={(0, "a")}) == [(0,)]
    assert len(ask(filled, query, pairs=[(n, "abc"[n % 3]) for n in range(500)])) == 10
    assert len(ask(filled, "SELECT id FROM notes WHERE (id, text) NOT IN :pairs", pairs=[(0, "a")])) == 9
    assert len(ask(filled, "SELECT id FROM notes WHERE (id, text) NOT IN :pairs", pairs=[])) == 10


def test_percent_signs_colons_and_quotes_stay_what_they_are(filled: Database) -> None:
    assert ask(filled, "SELECT 'it''s 100% :id', id FROM notes WHERE id = :id", id=3) == [("it's 100% :id", 3)]
    assert ask(filled, "SELECT id FROM notes WHERE text LIKE 'A%'") == []
    assert len(ask(filled, "SELECT id FROM notes WHERE text LIKE :pattern", pattern="a%")) == 4
    assert ask(filled, "SELECT id % 4 FROM notes WHERE id = 7") == [(3,)]


def test_truth_sums_and_nothing(filled: Database) -> None:
    assert ask(filled, "SELECT id FROM notes WHERE id = :yes", yes=True) == [(1,)]
    total = ask(filled, "SELECT SUM(id), MAX(id), COUNT(*) FROM notes")
    assert total == [(45, 9, 10)] and all(type(value) is int for value in total[0])
    assert ask(filled, "SELECT GREATEST(id, 5), LEAST(id, 5) FROM notes WHERE id = 9") == [(9, 5)]
    assert ask(filled, "SELECT id FROM notes WHERE id = :id", id=None) == []


def test_texts_compare_by_code_point(database: Database) -> None:
    make_table(database)
    words = ["a", "B", "ä", "Z", "z", "_", "\U0001f600", "\uffff"]
    result(database.write(lambda txn: [note(txn, number, word) for number, word in enumerate(words)]))
    if database.engine == "sqlite":
        assert [text for (text,) in ask(database, "SELECT text FROM notes ORDER BY text")] == sorted(words)
    schema = script("CREATE TABLE words (text TEXT NOT NULL);", database.engine)[0]
    result(database.write(lambda txn: txn.run(schema)))
    result(database.write(lambda txn: [txn.insert("words", text=word) for word in words]))
    assert [text for (text,) in ask(database, "SELECT text FROM words ORDER BY text")] == sorted(words)


def test_many_rows_at_once_and_upserts(filled: Database) -> None:
    upsert = "INSERT INTO notes (id, text) VALUES (:id, :text) ON CONFLICT (id) DO UPDATE SET text = excluded.text"
    rows = [{"id": number, "text": "x%"} for number in range(5, 1200)]
    result(filled.write(lambda txn: txn.many(upsert, rows)))
    assert ask(filled, "SELECT COUNT(*) FROM notes WHERE text = 'x%'") == [(1195,)]
    # Twice the same row in one go: the later wins, on both.
    result(filled.write(lambda txn: txn.many(upsert, [{"id": 1, "text": "first"}, {"id": 1, "text": "second"}])))
    assert ask(filled, "SELECT text FROM notes WHERE id = 1") == [("second",)]
    ignore = "INSERT INTO notes (id, text) VALUES (:id, :text) ON CONFLICT DO NOTHING"
    result(filled.write(lambda txn: txn.many(ignore, [{"id": 1, "text": "third"}, {"id": -1, "text": "new"}])))
    assert ask(filled, "SELECT text FROM notes WHERE id IN (1, -1) ORDER BY id") == [("new",), ("second",)]
    rows = [{"id": 1, "text": "u"}, {"id": 2, "text": "u"}]
    result(filled.write(lambda txn: txn.many("UPDATE notes SET text = :text WHERE id = :id", rows)))
    assert ask(filled, "SELECT id FROM notes WHERE text = 'u' ORDER BY id") == [(1,), (2,)]
    result(filled.write(lambda txn: txn.many("DELETE FROM notes WHERE id = :id", [])))


def test_a_statement_that_changes_rows_says_how_many_or_which(filled: Database) -> None:
    assert result(filled.write(lambda txn: txn.run("DELETE FROM notes WHERE id < 3"))) == 3
    assert result(filled.write(lambda txn: txn.all("DELETE FROM notes WHERE id < 5 RETURNING id"))) == [(3,), (4,)]
    assert result(filled.write(lambda txn: txn.all("DELETE FROM notes WHERE id = 5"))) == []


def test_a_read_cannot_write(filled: Database) -> None:
    def write(txn: Transaction) -> None:
        txn.run("DELETE FROM notes")

    with pytest.raises(DatabaseError):
        result(filled.read(write))
    with pytest.raises(TypeError):
        result(filled.read(note, 99))
    assert len(result(filled.read(notes))) == 10


def test_no_error_carries_a_value(filled: Database) -> None:
    secret = "swordfish"
    for failing in (
        lambda txn: txn.run("INSERT INTO notes (id, text) VALUES (:id, :text)", id=1, text=secret),
        lambda txn: txn.run("INSERT INTO notes (id, text) VALUES (:id, :text)", id=None, text=secret) and txn.run("SELECT 1 FROM nowhere"),
        lambda txn: txn.insert("notes", id=1, text=secret),
        lambda txn: txn.run("INSERT INTO notes (id, text, nope) VALUES (:id, :text, 1)", id=77, text=secret),
    ):
        with pytest.raises(DatabaseError) as caught:
            result(filled.write(failing))
        assert secret not in str(caught.value) and caught.value.__cause__ is None


def test_row_locks_are_spelled_for_one_engine_only() -> None:
    sql = "SELECT seq FROM rooms WHERE room_id = :room\n    FOR UPDATE"
    assert spell(sql, "sqlite").text == "SELECT seq FROM rooms WHERE room_id = :room"
    assert spell(sql, "postgres").waits and not spell("SELECT 'FOR UPDATE'", "postgres").waits


def test_a_schema_file_is_spelled_for_each_engine() -> None:
    text = """
    -- TEXT; in a comment
    CREATE TABLE a (id BIGINT PRIMARY KEY, name TEXT, data BYTES); -- more
    -- only on postgres
    CREATE INDEX b ON a USING gin (name);
    CREATE TABLE c (id TEXT PRIMARY KEY DEFAULT ';') WITHOUT ROWID;
    """
    assert script(text, "sqlite") == [
        "CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT, data BLOB)",
        "CREATE TABLE c (id TEXT PRIMARY KEY DEFAULT ';') WITHOUT ROWID",
    ]
    assert script(text, "postgres") == [
        'CREATE TABLE a (id BIGINT PRIMARY KEY, name TEXT COLLATE "C", data BYTEA)',
        "CREATE INDEX b ON a USING gin (name)",
        "CREATE TABLE c (id TEXT COLLATE \"C\" PRIMARY KEY DEFAULT ';')",
    ]


def test_the_target_of_an_upsert_is_recognised() -> None:
    assert conflict_of("INSERT INTO t (a, b, c) VALUES (:x, :y, 1) ON CONFLICT (b, a) DO UPDATE SET c = 2") == ("y", "x")
    assert conflict_of("INSERT INTO t (a) VALUES (:x) ON CONFLICT DO NOTHING") == ()
    assert conflict_of("INSERT INTO t (a) SELECT :x ON CONFLICT (a) DO UPDATE SET a = 1") is None
