"""Who gets content, under which headers, and which bytes of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from homeserver.media import serving
from homeserver.storage import media as table
from tests.media.rig import Body, Network, Server, now

OPEN = "/_matrix/media/v3/download/"
DIGEST = "ab" * 32


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server("a.example", tmp_path, Network())


def test_content_cannot_become_a_program_in_the_browser(server: Server) -> None:
    got = server.download(server.upload(b"<script>alert(1)</script>", "text/html", "cat.png"))
    assert got.headers["content-disposition"] == "attachment; filename=cat.png"
    assert got.headers["content-security-policy"].startswith("sandbox; default-src 'none'; script-src 'none'")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["cross-origin-resource-policy"] == "cross-origin"
    assert got.headers["access-control-allow-origin"] == "*"


def test_a_type_that_is_none_becomes_bytes(server: Server) -> None:
    for kind in ("text/html\r\nX-Evil: 1", "image", "", "a/b/c", "image/png\x00", "text/html,image/png"):
        assert server.download(server.upload(b"x", kind)).headers["content-type"] == "application/octet-stream"


def test_another_name_may_be_asked_for(server: Server) -> None:
    uri = server.upload(b"x", "image/png", "mine.png")
    assert server.download(uri + "/yours.png").headers["content-disposition"] == "inline; filename=yours.png"
    assert server.download(uri + "/☕").headers["content-disposition"] == "inline; filename*=utf-8''%E2%98%95"


def test_a_path_is_not_a_uri(server: Server) -> None:
    for uri in ("a.example/..%2F..%2Fetc", "a.example/%2e%2e", "..%2f/abc", "a.example/a.b", "a%00/b"):
        got = server.ask("GET", f"/_matrix/client/v1/media/download/{uri}")
        assert got.error == (400, "M_INVALID_PARAM")


def test_without_a_token_there_is_nothing(server: Server) -> None:
    uri = server.upload(b"x")
    assert server.download(uri, user="").error == (401, "M_MISSING_TOKEN")
    assert server.ask("GET", OPEN + uri, user="").error == (404, "M_NOT_FOUND")


def test_what_was_uploaded_before_the_freeze_stays_visible(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine, unauthenticated=True)
    before = server.upload(b"old")
    assert server.ask("GET", OPEN + before, user="").body == b"old"
    object.__setattr__(server.repository.rules, "unauthenticated", False)
    assert server.ask("GET", OPEN + before, user="").body == b"old"
    assert server.ask("GET", OPEN + server.upload(b"new"), user="").error == (404, "M_NOT_FOUND")


def test_what_is_not_there(server: Server) -> None:
    assert server.download("a.example/nothing").error == (404, "M_NOT_FOUND")
    uri = server.upload(b"x")
    server.files.path(server.contents()[0]).unlink()
    assert server.download(uri).error == (404, "M_NOT_FOUND")


def test_hidden_content_is_gone_under_all_its_names(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine)
    one, two = server.upload(b"bad"), server.upload(b"bad", user="bob")
    now(server.database.write(table.quarantine, *one.split("/"), "@admin:a.example"))
    for uri in (one, two):
        assert server.download(uri).error == (404, "M_NOT_FOUND")
    assert server.ask("POST", "/_matrix/media/v3/upload", body=Body(b"bad")).error == (403, "M_FORBIDDEN")
    now(server.database.write(table.release, *two.split("/")))
    assert server.download(two).status == 200


def test_a_client_that_has_it_gets_nothing_again(server: Server) -> None:
    uri = server.upload(b"x" * 100)
    etag = server.download(uri).headers["etag"]
    got = server.download(uri, if_none_match=f'"other", W/{etag}')
    assert (got.status, got.body) == (304, b"")
    assert "private" in got.headers["cache-control"]


def test_a_part_may_be_asked_for(server: Server) -> None:
    uri = server.upload(bytes(range(200)), "video/mp4")
    got = server.download(uri, range="bytes=50-59")
    assert (got.status, got.body) == (206, bytes(range(50, 60)))
    assert got.headers["content-range"] == "bytes 50-59/200"
    assert server.download(uri, range="bytes=-5").body == bytes(range(195, 200))
    assert server.download(uri, range="bytes=190-").body == bytes(range(190, 200))
    assert server.download(uri, range="bytes=200-").status == 416
    assert server.download(uri, range="bytes=50-59", if_range='"another version"').status == 200


@given(some.text("bytes=0123456789-, ", max_size=30), some.integers(0, 50))
def test_whatever_the_range_the_bytes_exist(header: str, size: int) -> None:
    plan = serving.plan({"range": header}, digest=DIGEST, size=size, content_type="a/b", filename=None, private=True)
    if plan.span is None:
        assert plan.status == 416
    else:
        assert 0 <= plan.span.start <= plan.span.end <= size
        assert plan.headers["content-length"] == str(plan.span.size)


def test_head_is_get_without_the_bytes(server: Server) -> None:
    got = server.ask("HEAD", f"/_matrix/client/v1/media/download/{server.upload(b'abc')}")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "3")


def test_reading_is_noted_once_a_day(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine)
    uri = server.upload(b"x")
    acts = server.database.counts.acts
    server.download(uri)
    assert server.database.counts.acts == acts
    server.reactor.advance(2 * 24 * 3600)
    server.download(uri)
    server.download(uri)
    assert server.database.counts.acts == acts + 1
