"""What a user uploads is whole, durable and his; what goes wrong leaves nothing behind."""

from pathlib import Path

import pytest

from homeserver.media import repository
from homeserver.media.repository import PENDING, UNUSED_MS
from tests.media.rig import EPOCH, Body, Network, Server, now, picture

PUT = "/_matrix/media/v3/upload/"
GET = "/_matrix/client/v1/media/download/"


@pytest.fixture
def server(engine: str, tmp_path: Path) -> Server:
    return Server("a.example", tmp_path, Network(), engine, max_upload=5000)


@pytest.fixture
def sqlite(tmp_path: Path) -> Server:
    return Server("a.example", tmp_path, Network(), max_upload=5000)


def created(server: Server, user: str = "alice") -> str:
    uri: str = server.ask("POST", "/_matrix/media/v1/create", user).json["content_uri"]
    return uri.removeprefix("mxc://")


def test_what_goes_up_comes_down(server: Server) -> None:
    got = server.download(server.upload(b"hello" * 900, "text/plain", "greeting.txt"))
    assert got.status == 200 and got.body == b"hello" * 900
    assert got.headers["content-type"] == "text/plain; charset=UTF-8"
    assert got.headers["content-disposition"] == "inline; filename=greeting.txt"
    assert got.headers["content-length"] == "4500"


def test_the_same_bytes_are_one_file(server: Server) -> None:
    one, two = server.upload(b"same"), server.upload(b"same", user="bob")
    assert one != two and len(server.contents()) == 1


def test_the_config_says_how_much_is_possible(sqlite: Server) -> None:
    for path in ("/_matrix/client/v1/media/config", "/_matrix/media/v3/config"):
        assert sqlite.ask("GET", path).json == {"m.upload.size": 5000}
        assert sqlite.ask("GET", path, user="").error == (401, "M_MISSING_TOKEN")


def test_too_much_is_refused_before_it_comes_when_it_is_announced(sqlite: Server) -> None:
    body = Body(b"x" * 6000, length=6000)
    assert sqlite.ask("POST", "/_matrix/media/v3/upload", body=body).error == (413, "M_TOO_LARGE")
    assert body.taken == 0


def test_too_much_is_refused_as_it_comes_when_it_is_not(sqlite: Server) -> None:
    body = Body(b"x" * 60_000)
    assert sqlite.ask("POST", "/_matrix/media/v3/upload", body=body).error == (413, "M_TOO_LARGE")
    assert body.taken <= 6000 and sqlite.left_over() == [] and sqlite.contents() == []


def test_a_lie_about_the_length_helps_nobody(sqlite: Server) -> None:
    assert sqlite.ask("POST", "/_matrix/media/v3/upload", body=Body(b"x" * 60_000, length=10)).error == (413, "M_TOO_LARGE")


def test_an_upload_that_breaks_off_leaves_nothing(sqlite: Server) -> None:
    sqlite.ask("POST", "/_matrix/media/v3/upload", body=Body(b"x" * 4000, breaks=True))
    assert sqlite.left_over() == [] and sqlite.contents() == []


def test_empty_content_is_content(sqlite: Server) -> None:
    got = sqlite.download(sqlite.upload(b""))
    assert (got.status, got.body) == (200, b"")


def test_a_quota(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine, max_per_user=1000)
    server.upload(b"x" * 900)
    got = server.ask("POST", "/_matrix/media/v3/upload", body=Body(b"y" * 200, length=200))
    assert got.error == (403, "M_FORBIDDEN")
    server.upload(b"y" * 200, user="bob")


def test_a_quota_holds_for_those_who_do_not_say_how_much_comes(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine, max_per_user=1000)
    server.upload(b"x" * 900)
    assert server.ask("POST", "/_matrix/media/v3/upload", body=Body(b"y" * 200)).error == (403, "M_FORBIDDEN")


def test_a_uri_first_and_its_content_later(server: Server) -> None:
    answer = server.ask("POST", "/_matrix/media/v1/create").json
    assert answer["unused_expires_at"] == EPOCH + UNUSED_MS
    uri = answer["content_uri"].removeprefix("mxc://")
    assert server.ask("GET", f"{GET}{uri}?timeout_ms=0").error == (504, "M_NOT_YET_UPLOADED")
    assert server.ask("PUT", PUT + uri + "?filename=a.png", body=Body(b"later"), content_type="image/png").status == 200
    got = server.download(uri)
    assert got.body == b"later" and got.headers["content-disposition"] == "inline; filename=a.png"


def test_who_waits_is_answered_when_the_content_comes(server: Server) -> None:
    uri = created(server)
    waiting = server.begin("GET", GET + uri, "bob")
    assert not waiting.called
    server.ask("PUT", PUT + uri, body=Body(b"at last"))
    assert now(waiting).body == b"at last"


def test_who_waits_in_vain_is_told_so(server: Server) -> None:
    waiting = server.begin("GET", GET + created(server) + "?timeout_ms=5000")
    server.reactor.advance(4.9)
    assert not waiting.called
    server.reactor.advance(0.2)
    assert now(waiting).error == (504, "M_NOT_YET_UPLOADED")


def test_nobody_waits_for_ever(sqlite: Server) -> None:
    waiting = sqlite.begin("GET", GET + created(sqlite) + "?timeout_ms=99999999999")
    sqlite.reactor.advance(repository.MAX_WAIT_MS / 1000 + 1)
    assert now(waiting).error == (504, "M_NOT_YET_UPLOADED")


def test_content_is_never_replaced(server: Server) -> None:
    uri = created(server)
    server.ask("PUT", PUT + uri, body=Body(b"first"))
    assert server.ask("PUT", PUT + uri, body=Body(b"second")).error == (409, "M_CANNOT_OVERWRITE_MEDIA")
    assert server.ask("PUT", PUT + server.upload(b"third"), body=Body(b"fourth")).error == (409, "M_CANNOT_OVERWRITE_MEDIA")
    assert server.download(uri).body == b"first"


def test_only_who_made_a_uri_fills_it(server: Server) -> None:
    assert server.ask("PUT", PUT + created(server), "mallory", Body(b"mine")).error == (403, "M_FORBIDDEN")


def test_a_uri_that_nobody_made_cannot_be_filled(server: Server) -> None:
    assert server.ask("PUT", PUT + "a.example/guessed", body=Body(b"x")).error == (404, "M_NOT_FOUND")
    assert server.ask("PUT", PUT + "b.example/guessed", body=Body(b"x")).error == (404, "M_NOT_FOUND")


def test_a_uri_nobody_uses_expires(server: Server) -> None:
    uri = created(server)
    server.reactor.advance(UNUSED_MS / 1000 + 1)
    assert server.ask("PUT", PUT + uri, body=Body(b"late")).error == (404, "M_NOT_FOUND")
    assert server.ask("GET", GET + uri + "?timeout_ms=0").error == (404, "M_NOT_FOUND")


def test_one_user_cannot_hoard_uris(server: Server) -> None:
    for _ in range(PENDING):
        created(server)
    assert server.ask("POST", "/_matrix/media/v1/create").error == (429, "M_LIMIT_EXCEEDED")
    created(server, "bob")
    server.reactor.advance(UNUSED_MS / 1000 + 1)
    created(server)


def test_uploading_needs_a_token(sqlite: Server) -> None:
    assert sqlite.ask("POST", "/_matrix/media/v3/upload", user="", body=Body(b"x")).error == (401, "M_MISSING_TOKEN")
    assert sqlite.ask("POST", "/_matrix/media/v1/create", user="").error == (401, "M_MISSING_TOKEN")


def test_older_names_of_the_endpoint(sqlite: Server) -> None:
    for version in ("r0", "v1"):
        assert sqlite.ask("POST", f"/_matrix/media/{version}/upload", body=Body(picture(2, 2))).status == 200
