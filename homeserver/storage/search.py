"""The words that events say, and which events say a word.  Knows no rule on who may find them.

Texts are folded before they come here and so are questions: without case, without accents of European scripts, and each CJK character
a word of its own, as these are written without spaces.  Then both engines agree on what a word is.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from homeserver.events import topics
from homeserver.events.event import Event
from homeserver.storage import events
from homeserver.storage.events import Stored
from homeserver.storage.transactions import Transaction

MAX_TEXT = 32 * 1024
MOST_COUNTED = 1000
MESSAGE, NAME, TOPIC = "m.room.message", "m.room.name", "m.room.topic"
TYPES = (MESSAGE, NAME, TOPIC)

_ACCENT = re.compile("[\u0300-\u036f]")
_CJK = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
# The vowel signs of Indic and South-East Asian scripts are no letters to `re`, and yet no word is without them.
_WORD = re.compile("(?:[^\\W_]|[\u0900-\u109f])+")


@dataclass(frozen=True, slots=True)
class Question:
    """Events of these types in these rooms that say all of the words; the newest first if `recent`, else the best."""

    words: tuple[str, ...]
    rooms: Collection[str]
    types: Collection[str]
    recent: bool


def text_of(event: Event) -> str | None:
    """What an event says that may be searched for.  spec: client-server-api#room_events"""
    said: object = None
    if event.type == MESSAGE and event.state_key is None:
        said = event.content.get("body")
    elif event.type == NAME and event.state_key == "":
        said = event.content.get("name")
    elif event.type == TOPIC and event.state_key == "":
        said = topics.plain(event.content)
    return said if isinstance(said, str) and said else None


def words_of(text: str) -> list[str]:
    """The words of a text, folded, in their order."""
    text = text[:MAX_TEXT].casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _ACCENT.sub("", unicodedata.normalize("NFKD", text)))
        text = _CJK.sub(r" \1 ", text)
    return _WORD.findall(text)


def add(txn: Transaction, stored: Stored) -> None:
    """Note the words of a shown event."""
    words = _words_of(stored.event)
    if words and txn.engine == "sqlite":
        txn.insert("search_texts", rowid=stored.num, text=words)
    elif words:
        txn.later("INSERT INTO search_texts (num, words) VALUES (:num, to_tsvector('simple', :text))", num=stored.num, text=words)


def remove(txn: Transaction, num: int) -> None:
    """The event is about to be redacted or deleted: take its words out while it still has them."""
    if txn.engine == "postgres":
        txn.later("DELETE FROM search_texts WHERE num = :num", num=num)
        return
    # The index has no text of its own: it must be told what it was given, and what it was not given, it must not be told to forget.
    if txn.value("SELECT 1 FROM search_texts WHERE rowid = :num", num=num) is None:
        return
    stored = events.by_number(txn, [num]).get(num)
    words = "" if stored is None else _words_of(stored.event)
    txn.later("INSERT INTO search_texts (search_texts, rowid, text) VALUES ('delete', :num, :text)", num=num, text=words)


def _words_of(event: Event) -> str:
    text = text_of(event)
    return "" if text is None else " ".join(words_of(text))


def find(txn: Transaction, question: Question, skip: int, limit: int) -> list[tuple[int, float]]:
    """(event number, how well it fits) of what answers the question."""
    if txn.engine == "sqlite":
        rows = txn.all(
            "SELECT events.num, -bm25(search_texts) AS fit FROM search_texts JOIN events ON events.num = search_texts.rowid"
            " WHERE search_texts MATCH :words AND events.room_id IN :rooms AND events.type IN :types AND events.status IN (1, 2)"
            " AND events.redacted_by IS NULL ORDER BY CASE WHEN :recent = 1 THEN events.ts ELSE 0 END DESC,"
            " CASE WHEN :recent = 1 THEN 0 ELSE -bm25(search_texts) END DESC, events.num DESC LIMIT :limit OFFSET :skip",
            words=_all_of(question), rooms=question.rooms, types=question.types, recent=int(question.recent), limit=limit, skip=skip,
        )  # fmt: skip
    else:
        rows = txn.all(
            "SELECT events.num, ts_rank_cd(search_texts.words, asked) AS fit FROM plainto_tsquery('simple', :words) asked,"
            " search_texts JOIN events ON events.num = search_texts.num"
            " WHERE search_texts.words @@ asked AND events.room_id IN :rooms AND events.type IN :types AND events.status IN (1, 2)"
            " AND events.redacted_by IS NULL ORDER BY CASE WHEN :recent = 1 THEN events.ts ELSE 0 END DESC,"
            " CASE WHEN :recent = 1 THEN 0 ELSE ts_rank_cd(search_texts.words, asked) END DESC, events.num DESC LIMIT :limit OFFSET :skip",
            words=" ".join(question.words), rooms=list(question.rooms), types=list(question.types), recent=int(question.recent),
            limit=limit, skip=skip,
        )  # fmt: skip
    return [(num, float(fit)) for num, fit in rows]


def count(txn: Transaction, question: Question) -> int:
    """How many events answer the question, counted up to `MOST_COUNTED`."""
    if txn.engine == "sqlite":
        found = txn.value(
            "SELECT COUNT(*) FROM (SELECT 1 FROM search_texts JOIN events ON events.num = search_texts.rowid"
            " WHERE search_texts MATCH :words AND events.room_id IN :rooms AND events.type IN :types AND events.status IN (1, 2)"
            " AND events.redacted_by IS NULL LIMIT :most)",
            words=_all_of(question), rooms=question.rooms, types=question.types, most=MOST_COUNTED,
        )  # fmt: skip
    else:
        found = txn.value(
            "SELECT COUNT(*) FROM (SELECT 1 FROM search_texts JOIN events ON events.num = search_texts.num"
            " WHERE search_texts.words @@ plainto_tsquery('simple', :words) AND events.room_id IN :rooms AND events.type IN :types"
            " AND events.status IN (1, 2) AND events.redacted_by IS NULL LIMIT :most) found",
            words=" ".join(question.words), rooms=list(question.rooms), types=list(question.types), most=MOST_COUNTED,
        )  # fmt: skip
    return int(found)


def _all_of(question: Question) -> str:
    """The words as FTS5 wants them: quoted, so that none is an operator."""
    return " ".join(f'"{word}"' for word in question.words)
