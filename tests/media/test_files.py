"""Files on disk: whole or not there, and gone when nothing needs them, never before."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeserver.media.files import GRACE_SECONDS, Files
from homeserver.media.serving import Span
from homeserver.storage import media as table
from tests.media.rig import EPOCH, Network, Server, inline, now, picture, pieces, run


def age(path: Path) -> None:
    then = time.time() - GRACE_SECONDS - 10
    os.utime(path, (then, then))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, inline)


def content_of(files: Files, digest: str, span: Span) -> bytes:
    async def gather() -> bytes:
        return b"".join([piece async for piece in await files.open(digest, span)])

    found: bytes = run(gather())
    return found


def test_large_content_passes_in_pieces(files: Files) -> None:
    content = bytes(range(256)) * 5000
    blob = run(files.receive(pieces(content, 70_000), len(content)))
    assert blob.size == len(content)
    assert content_of(files, blob.digest, Span(100_000, 900_001)) == content[100_000:900_001]


def test_few_visits_to_a_thread(tmp_path: Path) -> None:
    visits: list[str] = []

    async def counted(function: Callable[..., Any], *args: Any) -> Any:
        visits.append(function.__name__)
        return function(*args)

    files = Files(tmp_path, counted)
    for size, writes, reads in ((1000, 1, 1), (1 << 20, 3, 2)):
        content = os.urandom(size)
        blob = run(files.receive(pieces(content, 65536), size))
        assert len(visits) == writes
        visits.clear()
        assert content_of(files, blob.digest, Span(0, size)) == content
        assert len(visits) == reads
        visits.clear()


@pytest.mark.parametrize("digest", ["", "../../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_a_digest_names_a_file(files: Files, digest: str) -> None:
    with pytest.raises(ValueError):
        files.path(digest)


def test_what_nothing_refers_to_goes_after_a_day(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine)
    kept, lost, young = (server.upload(picture(200 + size, 200)) for size in range(3))
    server.thumbnail(kept, 32, 32)
    server.thumbnail(lost, 32, 32)
    digests = {uri: now(server.database.read(table.find, *uri.split("/"))).digest for uri in (kept, lost, young)}
    for digest in server.contents():
        if digest != digests[young]:
            age(server.files.path(digest))
    for uri in (lost, young):
        now(server.database.write(table.forget, *uri.split("/")))

    assert run(server.repository.tidy()) == 2  # the picture and its thumbnail
    assert server.thumbnail(kept, 32, 32).status == 200 and server.download(kept).status == 200
    assert digests[young] in server.contents()


def test_what_is_uploaded_again_meanwhile_stays(files: Files) -> None:
    blob = run(files.keep(b"x"))
    age(files.path(blob.digest))

    async def used(digests: list[str]) -> set[str]:
        await files.keep(b"x")  # its row comes a moment later
        return set()

    assert run(files.collect(used)) == 0
    assert files.path(blob.digest).exists()


def test_drafts_nobody_finishes_go(files: Files) -> None:
    draft = files.root / "incoming" / "left"
    draft.parent.mkdir()
    draft.write_bytes(b"half")
    age(draft)
    (files.root / "incoming" / "under way").write_bytes(b"half")
    assert run(files.collect(None)) == 1  # type: ignore[arg-type]


def test_copies_nobody_reads_go(engine: str, tmp_path: Path) -> None:
    network = Network()
    b = Server("b.example", tmp_path, network)
    a = Server("a.example", tmp_path, network, engine, remote_lifetime=7 * 24 * 3600 * 1000)
    mine, read, unread = a.upload(b"1"), b.upload(b"2"), b.upload(b"3")
    a.download(read)
    a.download(unread)
    a.reactor.advance(5 * 24 * 3600)
    a.download(read)
    a.reactor.advance(5 * 24 * 3600)
    run(a.repository.tidy())
    asked = len(network.asked)
    assert a.download(mine).status == 200 and a.download(read).status == 200 and len(network.asked) == asked
    assert a.download(unread).status == 200 and len(network.asked) == asked + 1


def test_uris_nobody_used_go(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine)
    uri = server.ask("POST", "/_matrix/media/v1/create").json["content_uri"].removeprefix("mxc://")
    server.reactor.advance(25 * 3600)
    run(server.repository.tidy())
    assert now(server.database.read(table.find, *uri.split("/"))) is None
    assert server.repository.clock.now() > EPOCH
