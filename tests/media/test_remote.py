"""Content of other servers: fetched once, believed only as far as its bytes go, whatever the other server sends."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.federation.transport import Stream
from homeserver.media.remote import WHOLE_SECONDS
from homeserver.storage import media as table
from tests.media.rig import Body, Network, Server, bomb, now, page, picture, pieces

GET = "/_matrix/client/v1/media/download/"
KIND = {"content_type": "multipart/mixed; boundary=bd"}
Pair = tuple[Server, Server, Network]


def parts(content: bytes, head: bytes = b"Content-Type: image/png") -> bytes:
    return b"--bd\r\nContent-Type: application/json\r\n\r\n{}\r\n--bd\r\n" + head + b"\r\n\r\n" + content + b"\r\n--bd--\r\n"


@pytest.fixture
def pair(engine: str, tmp_path: Path) -> Pair:
    network = Network()
    return Server("a.example", tmp_path, network, engine), Server("b.example", tmp_path, network), network


def alone(tmp_path: Path, answer: Any, **rules: Any) -> Server:
    """A server that meets `evil.example`, which answers so."""
    server = Server("a.example", tmp_path, network := Network(), **{"max_remote": 5000} | rules)
    network.sites["evil.example"] = answer
    return server


def test_content_comes_from_the_other_server_with_its_name_and_type(pair: Pair) -> None:
    a, b, _ = pair
    got = a.download(b.upload(b"from afar" * 500, "text/plain", "☕ menu.txt"))
    assert got.body == b"from afar" * 500
    assert got.headers["content-type"] == "text/plain; charset=UTF-8"
    assert got.headers["content-disposition"] == "inline; filename*=utf-8''%E2%98%95%20menu.txt"


def test_it_is_fetched_once(pair: Pair) -> None:
    a, b, network = pair
    uri = b.upload(b"x")
    for _ in range(3):
        assert a.download(uri).body == b"x"
    assert len(network.asked) == 1


def test_askers_at_the_same_time_share_one_fetch(tmp_path: Path) -> None:
    answer: Deferred[Stream] = Deferred()

    async def slow(path: str) -> Stream:
        return await answer

    server = alone(tmp_path, slow)
    first, second = (server.begin("GET", GET + "evil.example/abc", user) for user in ("alice", "bob"))
    answer.callback(Stream(200, {"content-type": KIND["content_type"]}, pieces(parts(b"x"))))
    assert now(first).body == now(second).body == b"x"


def test_one_who_gives_up_does_not_stop_the_others(tmp_path: Path) -> None:
    answer: Deferred[Stream] = Deferred()

    async def slow(path: str) -> Stream:
        return await answer

    server = alone(tmp_path, slow)
    first, second = (server.begin("GET", GET + "evil.example/abc", user) for user in ("alice", "bob"))
    first.addErrback(lambda _: None)
    first.cancel()
    answer.callback(Stream(200, {"content-type": KIND["content_type"]}, pieces(parts(b"x"))))
    assert now(second).body == b"x"


def test_a_thumbnail_of_it_is_made_here(pair: Pair) -> None:
    a, b, _ = pair
    assert a.thumbnail(b.upload(picture(300, 300)), 32, 32).status == 200
    assert a.workshop.jobs == ["thumbnail"] and b.workshop.jobs == []


def test_content_that_is_still_to_come_there_is_waited_for(pair: Pair) -> None:
    a, b, _ = pair
    uri = b.ask("POST", "/_matrix/media/v1/create").json["content_uri"].removeprefix("mxc://")
    waiting = a.begin("GET", GET + uri)
    assert not waiting.called
    b.ask("PUT", "/_matrix/media/v3/upload/" + uri, body=Body(b"now"))
    assert now(waiting).body == b"now"


def test_or_not(pair: Pair) -> None:
    a, b, _ = pair
    uri = b.ask("POST", "/_matrix/media/v1/create").json["content_uri"].removeprefix("mxc://")
    assert a.ask("GET", f"{GET}{uri}?timeout_ms=0").error == (504, "M_NOT_YET_UPLOADED")
    b.ask("PUT", "/_matrix/media/v3/upload/" + uri, body=Body(b"now"))
    assert a.download(uri).body == b"now"  # the refusal was not kept


def test_a_copy_that_an_operator_deleted_is_fetched_again(pair: Pair) -> None:
    a, b, network = pair
    uri = b.upload(b"x")
    a.download(uri)
    a.files.path(a.contents()[0]).unlink()
    assert a.download(uri).body == b"x" and len(network.asked) == 2


def test_a_server_gives_away_only_its_own_content(pair: Pair) -> None:
    a, b, _ = pair
    a.download(b.upload(b"x"))
    copy = b.upload(b"y").partition("/")[2]
    assert now(Deferred.fromCoroutine(a._federate(f"/_matrix/federation/v1/media/download/{copy}"))).status == 404


def test_hidden_copies_stay_hidden(pair: Pair) -> None:
    a, b, network = pair
    uri = b.upload(b"x")
    a.download(uri)
    now(a.database.write(table.quarantine, *uri.split("/"), "@admin:a.example"))
    assert a.download(uri).error == (404, "M_NOT_FOUND")
    assert len(network.asked) == 1


def test_nobody_makes_us_fetch_without_a_token_unless_we_allow_it(tmp_path: Path) -> None:
    server = alone(tmp_path, page(200, parts(b"x"), **KIND))
    old = "/_matrix/media/v3/download/evil.example/abc"
    assert server.ask("GET", old, user="").error == (404, "M_NOT_FOUND")
    assert server.network.asked == []
    server = alone(tmp_path, page(200, parts(b"x"), **KIND), unauthenticated=True)
    assert server.ask("GET", old + "?allow_remote=false", user="").error == (404, "M_NOT_FOUND")
    assert server.network.asked == []
    assert server.ask("GET", old, user="").body == b"x"


@pytest.mark.parametrize("status", [400, 404, 405])
def test_an_older_server_is_asked_in_the_old_way(tmp_path: Path, status: int) -> None:
    def old(path: str) -> Stream:
        if path.startswith("/_matrix/federation"):
            return Stream(status, {}, pieces(b"what?"))
        return Stream(200, {"content-type": "text/plain", "content-disposition": 'attachment; filename="a b"'}, pieces(b"old"))

    server = alone(tmp_path, old)
    got = server.download("evil.example/abc")
    assert got.body == b"old" and got.headers["content-disposition"] == 'inline; filename="a b"'
    assert server.network.asked[1].startswith("evil.example/_matrix/media/v3/download/evil.example/abc?allow_remote=false")


def test_content_may_lie_elsewhere(tmp_path: Path) -> None:
    server = alone(tmp_path, page(200, parts(b"", b"Location: https://cdn.example/x"), **KIND))
    server.network.sites["cdn.example"] = page(200, b"from the cdn", content_type="text/plain")
    assert server.download("evil.example/abc").body == b"from the cdn"


@pytest.mark.parametrize(
    "answer",
    [
        page(200, b"<html>", content_type="text/html"),
        page(200, b"", **KIND),
        page(200, parts(b"x")[:-9], **KIND),
        page(200, parts(b"x"), content_type="multipart/mixed"),
        page(200, parts(b"x"), content_type="multipart/mixed; boundary=other"),
        page(200, b"a" * 200_000, **KIND),
        page(200, b"--bd\r\n" + b"a" * 200_000, **KIND),
        page(200, parts(b"", b"Location: https://nowhere.example/x"), **KIND),
        page(301, b"", location="https://elsewhere.example"),
        page(500, b"\xff" * 99),
        page(403, b"[" * 60_000),
        page(403, b'{"errcode": 7, "error": []}'),
        page(401, b'{"errcode":"M_UNAUTHORIZED","error":"who are you?"}'),
    ],
)
def test_a_lying_server_gets_nowhere(tmp_path: Path, answer: Any) -> None:
    server = alone(tmp_path, answer)
    assert server.download("evil.example/abc").error == (502, "M_UNKNOWN")
    assert server.left_over() == [] and server.contents() == []


def test_what_is_not_there_is_not_there(tmp_path: Path) -> None:
    server = alone(tmp_path, page(404, b'{"errcode":"M_NOT_FOUND","error":"no"}'))
    assert server.download("evil.example/abc").error == (404, "M_NOT_FOUND")
    assert server.download("nowhere.example/abc").error == (502, "M_UNKNOWN")


@pytest.mark.parametrize(
    "answer",
    [
        page(200, parts(b"x" * 5001), **KIND),
        page(200, parts(b"x" * 500_000), **KIND),
        page(200, parts(b"x"), content_length="99999999999999999999999", **KIND),
        page(502, b'{"errcode":"M_TOO_LARGE","error":"too large"}'),
    ],
)
def test_too_much_is_not_taken(tmp_path: Path, answer: Any) -> None:
    server = alone(tmp_path, answer)
    assert server.download("evil.example/abc").error == (502, "M_TOO_LARGE")
    assert server.left_over() == [] and server.contents() == []


def test_a_server_that_trickles_is_left_alone_in_the_end(tmp_path: Path) -> None:
    never: Deferred[None] = Deferred()

    async def trickle() -> AsyncIterator[bytes]:
        yield parts(b"x")[:-20]
        await never

    server = alone(tmp_path, lambda path: Stream(200, {"content-type": KIND["content_type"]}, trickle()))
    waiting = server.begin("GET", GET + "evil.example/abc")
    server.reactor.advance(WHOLE_SECONDS + 1)
    assert now(waiting).error == (502, "M_UNKNOWN")
    assert server.left_over() == []


@pytest.mark.parametrize("kind", [b"text/html\r\n\tx", b"image/png; a=\xff", b"", b"a" * 999])
def test_a_type_that_is_none_becomes_bytes(tmp_path: Path, kind: bytes) -> None:
    server = alone(tmp_path, page(200, parts(b"x", b"Content-Type: " + kind.replace(b"\r\n", b" ")), **KIND))
    assert server.download("evil.example/abc").headers["content-type"] == "application/octet-stream"


def test_a_bomb_from_afar_is_not_our_users_fault(tmp_path: Path) -> None:
    server = alone(tmp_path, page(200, parts(bomb(60_000, 60_000)), **KIND))
    assert server.thumbnail("evil.example/abc", 32, 32).error == (502, "M_TOO_LARGE")


def test_forbidden_content_is_not_taken_from_anybody(pair: Pair) -> None:
    a, b, _ = pair
    now(a.database.write(table.quarantine, *a.upload(b"bad").split("/"), "@admin:a.example"))
    assert a.download(b.upload(b"bad")).error == (403, "M_FORBIDDEN")
