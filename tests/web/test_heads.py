"""Heads and bodies of requests: what is taken, and that nothing can be read in two ways."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.web.bodies import LONGEST_LINE, Body, Chunked, Counted
from homeserver.web.heads import BadRequest, Head, parse


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def status(raw: bytes) -> int:
    """What a head is refused with."""
    with pytest.raises(BadRequest) as refused:
        parse(raw)
    return refused.value.status


def test_a_head() -> None:
    found = parse(head("GET /a?b=%20c HTTP/1.1", "Host: a", "X-Tags: one", "x-tags:\t two ", "Empty:"))
    assert found == Head("GET", "/a?b=%20c", {"host": "a", "x-tags": "one, two", "empty": ""}, 0, True)
    assert found.persistent and not found.waits


def test_who_may_ask_again() -> None:
    assert not parse(head("GET / HTTP/1.1", "Connection: x, Close")).persistent
    assert not parse(head("GET / HTTP/1.0", "Connection: keep-alive")).persistent


def test_who_waits_for_leave_to_send() -> None:
    asks = ("Expect: 100-continue", "Content-Length: 5")
    assert parse(head("POST / HTTP/1.1", *asks)).waits
    assert not parse(head("POST / HTTP/1.0", *asks)).waits and not parse(head("POST / HTTP/1.1", asks[0])).waits


def test_how_long_the_body_is() -> None:
    assert parse(head("POST / HTTP/1.1", "Content-Length: 0012")).length == 12
    assert parse(head("POST / HTTP/1.1", "Transfer-Encoding: Chunked")).length is None


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 3", "Content-Length: 3"),
        ("Content-Length: 3, 3",),
        ("Content-Length: +3",),
        ("Content-Length: 3 3",),
        ("Content-Length: 0x3",),
        ("Content-Length: ٣".encode().decode("latin-1"),),
        ("Content-Length: " + "9" * 19,),
        ("Content-Length:",),
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding : chunked",),
        ("Host: a", "Host: b"),
        ("Folded: a", " b"),
        ("No colon",),
        (": no name",),
        ("Bad\x00name: a",),
        ("Name: bad\x00value",),
        ("Name: a\nOther: b",),
        ("Name: a\rOther: b",),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(fields: tuple[str, ...]) -> None:
    assert status(head("POST / HTTP/1.1", *fields)) == 400


@pytest.mark.parametrize(
    "line",
    [
        *("GET /", "GET / HTTP/2.0", "GET / HTTP/1.11", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /a b HTTP/1.1"),
        *("GET /\t HTTP/1.1", "GET /\x7f HTTP/1.1", "GET\x00 / HTTP/1.1", "GE(T / HTTP/1.1", "get\n/ HTTP/1.1", "PRI * HTTP/2.0"),
    ],
)
def test_first_lines_that_are_none(line: str) -> None:
    assert status(head(line, "Host: a")) == 400


def test_codings_that_are_not_known() -> None:
    for coding in ("gzip, chunked", "chunked, chunked", "identity", "xchunked"):
        assert status(head("POST / HTTP/1.1", f"Transfer-Encoding: {coding}")) == 501
    assert status(head("POST / HTTP/1.0", "Transfer-Encoding: chunked")) == 400


def test_too_many_headers() -> None:
    assert status(head("GET / HTTP/1.1", *["a: b"] * 500)) == 431


@given(st.binary(max_size=60))
def test_no_head_is_beyond_reading(raw: bytes) -> None:
    for whole in (raw, b"GET / HTTP/1.1\r\n" + raw + b"\r\n\r\n"):
        try:
            parse(whole)
        except BadRequest:
            continue


def all_of(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    """The body that arrives in pieces, and what follows it."""
    found, rest = b"", None
    for piece in pieces:
        if rest is not None:
            rest += piece
            continue
        part, rest = body.take(piece)
        found += part
    return found, rest


def cut(raw: bytes, at: list[int]) -> list[bytes]:
    """`raw` in pieces."""
    edges = [0, *sorted(place % (len(raw) + 1) for place in at), len(raw)]
    return [raw[low:high] for low, high in pairwise(edges)]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.lists(st.integers(0, 1000), max_size=8))
def test_chunks_are_the_same_however_they_arrive(chunks: list[bytes], places: list[int]) -> None:
    raw = b"".join(b"%X;x=y\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: a\r\n\r\nGET"
    assert all_of(Chunked(), cut(raw, places)) == (b"".join(chunks), b"GET")


@given(st.binary(max_size=40), st.lists(st.integers(0, 1000), max_size=8))
def test_so_many_bytes_however_they_arrive(content: bytes, places: list[int]) -> None:
    pieces = cut(content + b"GET", places)
    assert all_of(Counted(len(content)), pieces) == (content, b"GET")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"zz\r\n", b"\r\n", b"-1\r\n", b"+1\r\n", b" 1\r\n", b"0x1\r\n", b"1 \r\n", b"1\n\r\na", b"1;a\x00\r\n", b"1;a\nb\r\n"),
        *(b"f" * 16 + b"\r\n", b"1\r\nab", b"1\r\na\r\r", b"1\r\nax\r\n", b"0\r\na\nb\r\n", b"0\r\n" + b"a: b\r\n" * 5000),
        *(b"1" * (LONGEST_LINE + 1), b"1;" + b"a" * LONGEST_LINE),
    ],
)
def test_chunks_that_are_none(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        Chunked().take(raw)
    with pytest.raises(BadRequest):
        all_of(Chunked(), [raw[at : at + 1] for at in range(len(raw))])
