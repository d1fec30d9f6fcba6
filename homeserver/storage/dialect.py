"""One spelling of SQL for two databases.  Pure: text in, text out; opens nothing.

What the rest of the code writes: named parameters `:name`; `IN :list` and `(a, b) IN :pairs` with a list, tuple or set;
`FOR UPDATE` (nothing on SQLite); `GREATEST` and `LEAST`.  In schema files: TEXT, BIGINT, SMALLINT, BYTES.
"""

import json
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

SQLITE, POSTGRES = "sqlite", "postgres"

# A quoted piece or comment, which stays as it is; a cast; a parameter.
_PIECE = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|::|:([A-Za-z_]\w*)")
_IN = re.compile(r"(\((?:[^()]*,[^()]*)\)\s+)?\b(NOT\s+)?IN\s+:([A-Za-z_]\w*)", re.IGNORECASE)
_LOCK = re.compile(r"\s+FOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|SHARE)(?:\s+OF\s+\w+)?(?:\s+(?:NOWAIT|SKIP\s+LOCKED))?\s*$", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_]\w*")
_VALUES = re.compile(r"\bVALUES\s*(\((?:%\(\w+\)s|[^()])*\))(?=\s*(?:ON\s+CONFLICT|$))", re.IGNORECASE)
_UPSERT = re.compile(
    r"INSERT\s+INTO\s+\w+\s*\(([^()]*)\)\s*VALUES\s*\(([^()]*)\)\s*ON\s+CONFLICT\s*\(([^()]*)\)\s*DO\s+UPDATE", re.IGNORECASE
)
_ONLY = re.compile(r"^\s*-- only on (\w+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as one engine wants it.

    `words` are all its identifiers (and more), to see which tables it may name; `plain` lists are parameters of `IN`,
    `rows` those of `(a, b) IN`; `waits` says that it asks for a row lock.
    """

    source: str
    text: str
    words: frozenset[str]
    plain: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    waits: bool = False


@lru_cache(maxsize=8192)
def spell(sql: str, engine: str) -> Statement:
    """The statement for that engine."""
    plain = tuple(dict.fromkeys(found[3] for found in _IN.finditer(sql) if not found[1]))
    rows = tuple(dict.fromkeys(found[3] for found in _IN.finditer(sql) if found[1]))
    words = frozenset(_WORD.findall(sql))
    waits = _LOCK.search(sql) is not None
    text = _sqlite(sql) if engine == SQLITE else _postgres(sql)
    return Statement(sql, text, words, plain, rows, waits)


def _sqlite(sql: str) -> str:
    text = _LOCK.sub("", sql)
    return re.sub(r"\bLEAST\s*\(", "MIN(", re.sub(r"\bGREATEST\s*\(", "MAX(", text))


def _postgres(sql: str) -> str:
    def membership(found: re.Match[str]) -> str:
        if found[1]:
            return f"{found[1]}{found[2] or ''}IN :{found[3]}"
        return f"<> ALL(:{found[3]})" if found[2] else f"= ANY(:{found[3]})"

    def piece(found: re.Match[str]) -> str:
        return f"%({found[1]})s" if found[1] else found[0]

    return _PIECE.sub(piece, _IN.sub(membership, sql).replace("%", "%%"))


def without_empty_rows(statement: Statement, engine: str, parameters: Mapping[str, Any]) -> Statement:
    """The statement with `(a, b) IN :pairs` decided where there are no pairs: neither engine can spell an empty list of rows."""
    empty = {name for name in statement.rows if not parameters[name]}

    def decide(found: re.Match[str]) -> str:
        if not found[1] or found[3] not in empty:
            return found[0]
        return "(1 = 1)" if found[2] else "(1 = 0)"

    return spell(_IN.sub(decide, statement.source), engine) if empty else statement


def with_lists(statement: Statement, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """For SQLite, which knows no array: the text and parameters with lists spelled out.

    Sizes are rounded up to powers of two by repeating a value, so that few texts have to be prepared.
    """
    if statement.rows:
        statement = without_empty_rows(statement, SQLITE, parameters)
    values = dict(parameters)
    texts = [(name, _plain_list(name, values)) for name in statement.plain]
    texts += [(name, _row_list(name, values)) for name in statement.rows]
    return _with_texts(statement.text, tuple(texts)), values


@lru_cache(maxsize=512)
def _with_texts(text: str, texts: tuple[tuple[str, str], ...]) -> str:
    lists = dict(texts)
    return re.sub(r"\bIN\s+:(\w+)", lambda found: f"IN {lists.get(found[1], ':' + found[1])}", text, flags=re.IGNORECASE)


def _plain_list(name: str, values: dict[str, Any]) -> str:
    items = list(values.pop(name))
    if not items:
        return "(SELECT NULL WHERE 1 = 0)"
    if len(items) > 32 and not isinstance(items[0], bytes):
        if isinstance(items[0], str) and any("\0" in item for item in items):
            raise ValueError("NUL")
        # One parameter is bound in half the time of a hundred.
        values[name] = orjson.dumps(items).decode()
        return f"(SELECT value FROM json_each(:{name}))"
    if len(items) > 256:
        values[name] = json.dumps([item.hex() for item in items])
        return f"(SELECT unhex(value) FROM json_each(:{name}))"
    names, text = _spread_names(name, 1 << (len(items) - 1).bit_length())
    values.update(zip(names, items + [items[-1]] * (len(names) - len(items)), strict=True))
    return text


@lru_cache(maxsize=1024)
def _spread_names(name: str, count: int) -> tuple[list[str], str]:
    names = [f"{name}_{index}" for index in range(count)]
    return names, f"({', '.join(f':{each}' for each in names)})"


def _row_list(name: str, values: dict[str, Any]) -> str:
    rows = [tuple(row) for row in values.pop(name)]
    width = len(rows[0])
    if len(rows) > 32 and not any(isinstance(item, bytes) for row in rows for item in row):
        values[name] = json.dumps(rows)
        columns = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(width))
        return f"(SELECT {columns} FROM json_each(:{name}))"
    marks = list(_spread(name, [item for row in _padded(rows) for item in row], values))
    # A bare VALUES would be a compound select, for which SQLite uses no index.
    return f"(SELECT * FROM (VALUES {', '.join('(' + ', '.join(marks[at : at + width]) + ')' for at in range(0, len(marks), width))}))"


def _spread(name: str, items: list[Any], values: dict[str, Any]) -> Iterator[str]:
    for index, item in enumerate(items):
        values[f"{name}_{index}"] = item
        yield f":{name}_{index}"


def _padded(items: list[Any]) -> list[Any]:
    return items + [items[-1]] * ((1 << (len(items) - 1).bit_length()) - len(items))


def insertion(table: str, columns: Sequence[str]) -> str:
    """The start of an INSERT of those columns."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES "


@lru_cache(maxsize=1024)
def values_of(text: str) -> str | None:
    """The one `(…)` behind VALUES, if a statement for many rows has that form."""
    found = _VALUES.findall(text)
    return str(found[0]) if len(found) == 1 else None


@lru_cache(maxsize=1024)
def conflict_of(sql: str) -> tuple[str, ...] | None:
    """The parameters that fill the columns of an upsert's `ON CONFLICT (…) DO UPDATE`; empty if it is none, None if unknown."""
    if re.search(r"\bDO\s+UPDATE\b", sql, re.IGNORECASE) is None:
        return ()
    found = _UPSERT.search(sql)
    if found is None:
        return None
    columns, values, target = ([part.strip() for part in found[group].split(",")] for group in (1, 2, 3))
    filled = dict(zip(columns, values, strict=False))
    names = [filled.get(column, "") for column in target]
    return tuple(name[1:] for name in names) if all(re.fullmatch(r":\w+", name) for name in names) else None


def distinct(rows: Collection[Mapping[str, Any]], names: Sequence[str]) -> bool:
    """Whether no two rows agree in all of `names`."""
    return len({tuple(row[name] for name in names) for row in rows}) == len(rows)


def script(text: str, engine: str) -> list[str]:
    """The statements of a schema file for one engine.

    A statement behind a comment `-- only on sqlite` or `-- only on postgres` is for that one alone.
    """
    pieces, current = [], ""
    for line in text.splitlines(keepends=True):
        current += line
        if line.split("--")[0].rstrip().endswith(";") and sqlite3.complete_statement(current):
            pieces.append(current)
            current = ""
    pieces.append(current)
    wanted = [piece for piece in pieces if (only := _ONLY.search(piece)) is None or only[1] == engine]
    return [spelled for piece in wanted if (spelled := _schema(piece, engine))]


def _schema(piece: str, engine: str) -> str:
    text = re.sub(r"--[^\n]*", "", piece).strip().rstrip(";").strip()
    if engine == SQLITE:
        return re.sub(r"\bBYTES\b", "BLOB", re.sub(r"\bBIGINT PRIMARY KEY\b", "INTEGER PRIMARY KEY", text))
    text = re.sub(r"(?<!AS )\bTEXT\b", 'TEXT COLLATE "C"', text)
    return re.sub(r"\)\s*WITHOUT ROWID$", ")", re.sub(r"\bBYTES\b", "BYTEA", text))
