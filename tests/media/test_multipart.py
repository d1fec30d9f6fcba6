"""Another server's answer in two parts: read the same however it is cut, and refused when it lies."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from homeserver.media.multipart import MAX_HEAD, BadMultipart, Reader, Writer, boundary_of
from tests.media.rig import pieces, run


def whole(writer: Writer, content: bytes) -> bytes:
    async def gather() -> bytes:
        return b"".join([piece async for piece in writer.body(pieces(content))])

    answer: bytes = run(gather())
    return answer


def read(data: bytes, cuts: list[int] | None = None) -> tuple[bytes, Reader]:
    reader, content, start = Reader(b"bd"), b"", 0
    for cut in [*sorted(cuts or ()), len(data)]:
        content += reader.feed(data[start:cut])
        start = max(start, cut)
    reader.end()
    return content, reader


@given(some.binary(max_size=200) | some.text("\r\n-bd", max_size=40).map(str.encode), some.lists(some.integers(0, 400), max_size=8))
def test_what_one_writes_the_other_reads_however_it_is_cut(content: bytes, cuts: list[int]) -> None:
    if b"\r\n--bd" in b"\r\n" + content + b"\r\n":
        return  # the writer's boundary is random: this does not happen
    writer = Writer("bd", "image/png", "inline; filename=a.png", len(content))
    data = whole(writer, content)
    assert len(data) == int(writer.headers["content-length"])
    found, reader = read(data, [cut for cut in cuts if cut < len(data)])
    assert found == content
    assert reader.content is not None
    assert reader.content.headers == {"content-type": "image/png", "content-disposition": "inline; filename=a.png"}


@given(some.binary(max_size=300) | some.text("\r\n-bd: \0", max_size=60).map(str.encode), some.lists(some.integers(0, 300), max_size=5))
def test_nonsense_is_refused_and_nothing_worse(data: bytes, cuts: list[int]) -> None:
    with suppress(BadMultipart):
        read(data, [cut for cut in cuts if cut < len(data)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not multipart at all",
        b"--bd--\r\n",
        b"--bd\r\nContent-Type: application/json\r\n\r\n{}\r\n--bd--\r\n",
        b"--bd\r\n\r\n{}\r\n--bd\r\n\r\nbreaks off",
        b"--bd\r\nno colon\r\n\r\n{}\r\n--bd\r\n\r\nx\r\n--bd--",
        b"--bdX\r\n\r\n{}\r\n--bd\r\n\r\nx\r\n--bd--",
    ],
)
def test_what_is_not_two_parts_is_refused(data: bytes) -> None:
    with pytest.raises(BadMultipart):
        read(data)


def test_a_place_elsewhere() -> None:
    _, reader = read(b"--bd\r\nContent-Type: application/json\r\n\r\n{}\r\n--bd\r\nLocation: https://cdn/x\r\n\r\n\r\n--bd--")
    assert reader.content is not None and reader.content.location == "https://cdn/x"


@pytest.mark.parametrize("start", [b"x", b"--bd\r\nA: ", b"--bd\r\n\r\n{}\r\n--bd\r\nA: "])
def test_headers_without_end_are_not_kept(start: bytes) -> None:
    reader = Reader(b"bd")
    with pytest.raises(BadMultipart):
        for _ in range(2 * MAX_HEAD // 1000 + 2):
            reader.feed(start + b"a" * 1000)
            start = b""


@pytest.mark.parametrize("kind", ["text/html", "multipart/mixed", "multipart/mixed; boundary=", "multipart/mixed; boundary=" + "a" * 71])
def test_the_boundary_must_be_there(kind: str) -> None:
    with pytest.raises(BadMultipart):
        boundary_of(kind)


def test_the_boundary() -> None:
    assert boundary_of('Multipart/Mixed; charset=x; boundary="a b"') == b"a b"
    assert boundary_of("multipart/mixed;boundary=abc") == b"abc"
