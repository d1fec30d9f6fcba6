"""Endpoints as the router serves them: what is found, what is refused, and with which error."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import pytest

from homeserver.errors import NotFound
from homeserver.events.identifiers import RoomID, UserID
from homeserver.units import Rate
from homeserver.web.callers import Caller, Origin
from homeserver.web.endpoints import BadEndpoint
from homeserver.web.routes import delete, get, post, put
from homeserver.web.types import Reply
from tests.web.rig import ALICE, CALLERS, Asker, errcodes

ROOM = "/_matrix/client/v3/rooms/!r:a"


class Page(msgspec.Struct):
    dir: Literal["b", "f"]
    limit: int = 10
    at: list[str] = []
    user: UserID | None = None
    full: bool = False


class Invite(msgspec.Struct):
    user_id: UserID
    reason: str | None = None


class Sent(msgspec.Struct, omit_defaults=True):
    event_id: str
    txn: str = ""


@dataclass(frozen=True)
class Rooms:
    """Endpoints of every kind."""

    @put("/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}", limit="message")
    async def send(self, caller: Caller, room_id: RoomID, event_type: str, txn_id: str, body: dict[str, Any]) -> Sent:
        return Sent(f"{caller.user_id} {room_id} {event_type} {body}", txn_id)

    @get("/_matrix/client/v3/rooms/{room_id}/state/{kind}/{key}", "/_matrix/client/v3/rooms/{room_id}/state/{kind}")
    async def state(self, caller: Caller, room_id: RoomID, kind: str, key: str = "") -> list[str]:
        return [kind, key]

    @get("/_matrix/client/v3/rooms/{room_id}/messages")
    async def messages(self, caller: Caller | None, room_id: RoomID, query: Page) -> Any:
        return {"query": query, "caller": caller and caller.user_id}

    @post("/_matrix/client/v3/rooms/{room_id}/invite")
    async def invite(self, caller: Caller, room_id: RoomID, body: Invite) -> None:
        """Answers {}."""

    @post("/_matrix/client/v3/rooms/{room_id}/leave")
    async def leave(self, caller: Caller, room_id: RoomID, body: Invite | None) -> dict[str, Any]:
        return {"body": body}

    @post("/_matrix/client/v3/list")
    async def list(self, body: list[str]) -> list[str]:
        return body

    @get("/_matrix/client/v3/pushrules/{scope}/{kind}")
    async def rules(self, scope: str, kind: str) -> str | bytes:
        return b'"%b/%b"' % (scope.encode(), kind.encode())

    @get("/_matrix/client/v3/pushrules/global/override")
    async def override(self) -> bytes:
        return b'"literal"'

    @get("/_matrix/client/v3/broken")
    async def broken(self) -> None:
        raise RuntimeError("a secret")

    @get("/_matrix/client/v3/gone")
    async def gone(self) -> None:
        raise NotFound(sort="extra")

    @delete("/_matrix/client/v3/strange")
    async def strange(self) -> Reply:
        return Reply(202, {UserID("@a:b"): {"nested": Sent("$e")}}, {"x-more": "1"})

    @put("/_matrix/federation/v1/send/{txn_id}", max_body=1000)
    async def transaction(self, origin: Origin, txn_id: str, body: Invite) -> dict[str, Any]:
        return {"origin": origin, "user": body.user_id}

    @get("/_matrix/client/v3/admin", admin=True)
    async def admin(self, caller: Caller) -> None: ...


ask = Asker(Rooms())


def test_an_endpoint_gets_what_its_signature_asks_for() -> None:
    status, json = ask("PUT", ROOM + "/send/m.room.message/t1", {"body": "hi"})
    assert (status, json) == (200, {"event_id": "@alice:a !r:a m.room.message {'body': 'hi'}", "txn": "t1"})
    assert ask("GET", ROOM + "/messages?dir=b&limit=5&at=x&at=y&full=true", token=None)[1] == {
        "query": {"dir": "b", "limit": 5, "at": ["x", "y"], "user": None, "full": True},
        "caller": None,
    }
    assert ask("PUT", "/_matrix/federation/v1/send/1", {"user_id": "@b:b"}) == (200, {"origin": "b", "user": "@b:b"})


def test_answers_of_every_kind_become_json() -> None:
    response = ask.whole("DELETE", "/_matrix/client/v3/strange")
    assert (response.status, response.headers["x-more"]) == (202, "1")
    assert response.body == b'{"@a:b":{"nested":{"event_id":"$e"}}}'
    assert ask("POST", ROOM + "/invite", {"user_id": "@b:b"}) == (200, {})


def test_paths_are_taken_as_clients_write_them() -> None:
    assert ask("GET", "/_matrix/client/r0/rooms/%21r%3Aa/state/m.room.topic/")[1] == ["m.room.topic", ""]
    assert ask("GET", ROOM + "/state/m.room.member/@b:b")[1] == ["m.room.member", "@b:b"]
    assert ask("GET", ROOM + "/state/a%2Fb/%C3%A4")[1] == ["a/b", "ä"]
    assert ask("GET", "/_matrix/client/v3/pushrules/global/override")[1] == "literal"
    assert ask("GET", "/_matrix/client/v3/pushrules/global/room")[1] == "global/room"


def test_unknown_paths_and_verbs() -> None:
    wrong = [
        ask("GET", "/"),
        ask("GET", "/_matrix/client/v3/nothing"),
        ask("GET", "/_matrix/client/v3/rooms//messages"),
        ask("PATCH", ROOM + "/messages"),
        ask("POST", "/_matrix/federation/v1/send/1"),
    ]
    assert errcodes(wrong) == [(404, "M_UNRECOGNIZED")] * 3 + [(405, "M_UNRECOGNIZED")] * 2
    assert ask("HEAD", ROOM + "/messages?dir=b")[0] == 200


def test_tokens() -> None:
    assert errcodes([ask("GET", ROOM + "/state/x", token=None)]) == [(401, "M_MISSING_TOKEN")]
    assert errcodes([ask("GET", ROOM + "/state/x", token="bob")]) == [(401, "M_UNKNOWN_TOKEN")]
    assert ask("GET", ROOM + "/state/x?access_token=alice", token=None)[0] == 200
    assert ask("GET", ROOM + "/messages?dir=b&access_token=alice", token=None)[1]["caller"] == "@alice:a"


def test_callers_who_may_not() -> None:
    CALLERS.update(guest=replace(ALICE, is_guest=True), locked=replace(ALICE, is_locked=True))
    assert errcodes([ask("GET", ROOM + "/state/x", token="guest")]) == [(403, "M_GUEST_ACCESS_FORBIDDEN")]
    status, json = ask("GET", ROOM + "/state/x", token="locked")
    assert (status, json["errcode"], json["soft_logout"]) == (401, "M_USER_LOCKED", True)
    assert errcodes([ask("GET", "/_matrix/client/v3/admin")]) == [(403, "M_FORBIDDEN")]


@pytest.mark.parametrize(
    "body, errcode",
    [
        (b"{", "M_NOT_JSON"),
        (b"", "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b'"x"', "M_BAD_JSON"),
        (b"{}", "M_BAD_JSON"),
        (b'{"user_id": 1}', "M_BAD_JSON"),
        (b'{"user_id": "bob"}', "M_BAD_JSON"),
        (b'{"user_id": "@b:b", "reason": {}}', "M_BAD_JSON"),
        (b'{"user_id": "@b:b", "reason": "\xff"}', "M_NOT_JSON"),
        (b'{"user_id": "@b:b", "reason": "\\ud800"}', "M_NOT_JSON"),
        (b'{"user_id": "@b:b", "reason": "a\\u0000b"}', "M_BAD_JSON"),
        (b'{"user_id": "@b:b", "other": NaN}', "M_NOT_JSON"),
        (b'{"user_id": "@b:b", "other": ' + b"[" * 500 + b"]" * 500 + b"}", "M_BAD_JSON"),
        (b'{"user_id": "@b:b", "other": ' + b"[" * 20000 + b"]" * 20000 + b"}", "M_NOT_JSON"),
    ],
)
def test_bodies_that_are_refused(body: bytes, errcode: str) -> None:
    assert errcodes([ask("POST", ROOM + "/invite", body)]) == [(400, errcode)]


def test_the_wrong_field_is_named() -> None:
    assert ask("POST", ROOM + "/invite", {"user_id": "@b:b", "reason": 1})[1]["error"].startswith("reason: ")
    assert "user_id" in ask("POST", ROOM + "/invite", {})[1]["error"]
    assert ask("GET", ROOM + "/messages?dir=b&limit=ten")[1]["error"].startswith("limit: ")


def test_an_escaped_backslash_is_no_nul() -> None:
    assert ask("PUT", ROOM + "/send/x/1", b'{"body": "a\\\\u0000b"}')[0] == 200


def test_of_a_key_given_twice_the_last_counts_everywhere() -> None:
    assert ask("PUT", ROOM + "/send/x/1", b'{"a": 1, "a": 2}')[1]["event_id"].endswith("{'a': 2}")
    assert errcodes([ask("POST", ROOM + "/invite", b'{"user_id": "@b:b", "user_id": 1}')]) == [(400, "M_BAD_JSON")]


def test_an_empty_body_counts_where_it_can() -> None:
    assert ask("POST", ROOM + "/leave", b"") == (200, {"body": None})
    assert ask("PUT", ROOM + "/send/x/1", b"")[0] == 200
    assert errcodes([ask("POST", "/_matrix/client/v3/list", b"{}")]) == [(400, "M_BAD_JSON")]


@pytest.mark.parametrize(
    "path, errcode",
    [
        ("/_matrix/client/v3/rooms/r:a/messages?dir=b", "M_INVALID_PARAM"),
        ("/_matrix/client/v3/rooms/!r%00:a/messages?dir=b", "M_INVALID_PARAM"),
        (ROOM + "/state/%ff/x", "M_INVALID_PARAM"),
        (ROOM + "/messages", "M_MISSING_PARAM"),
        (ROOM + "/messages?dir=up", "M_INVALID_PARAM"),
        (ROOM + "/messages?dir=b&full=maybe", "M_INVALID_PARAM"),
        (ROOM + "/messages?dir=b&user=bob", "M_INVALID_PARAM"),
        (ROOM + "/messages?dir=%ff", "M_INVALID_PARAM"),
        (ROOM + "/messages?dir=b&at=%00", "M_INVALID_PARAM"),
        (ROOM + "/messages?" + "a=1&" * 5000, "M_INVALID_PARAM"),
    ],
)
def test_parameters_that_are_refused(path: str, errcode: str) -> None:
    assert errcodes([ask("GET", path)]) == [(400, errcode)]


def test_a_body_over_the_limit_of_its_route() -> None:
    assert errcodes([ask("PUT", "/_matrix/federation/v1/send/1", {"user_id": "@" + "b" * 1000})]) == [(413, "M_TOO_LARGE")]
    assert errcodes([ask("PUT", ROOM + "/send/x/1", {"body": "b" * 70_000})]) == [(413, "M_TOO_LARGE")]


def test_our_own_faults_tell_the_client_nothing() -> None:
    assert ask("GET", "/_matrix/client/v3/broken") == (500, {"errcode": "M_UNKNOWN", "error": "Internal server error"})
    assert ask("GET", "/_matrix/client/v3/gone") == (404, {"errcode": "M_NOT_FOUND", "error": "Not found", "sort": "extra"})


def test_browsers_may_read_every_answer_of_the_client_api() -> None:
    for method, path in [("GET", "/nowhere"), ("GET", ROOM + "/state/x"), ("OPTIONS", "/anywhere"), ("GET", "/_matrix/client/v3/broken")]:
        assert ask.whole(method, path).headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in ask.whole("PUT", "/_matrix/federation/v1/send/1").headers


def test_a_limit_is_told_in_body_and_header() -> None:
    limited = Asker(Rooms(), rates={"message": Rate(0.5, 2)})
    say = ("PUT", ROOM + "/send/x/1", {})
    assert [limited(*say)[0] for _ in range(3)] == [200, 200, 429]
    response = limited.whole(*say)
    assert response.headers["retry-after"] == "2"
    assert limited(*say)[1]["retry_after_ms"] == 2000
    limited.reactor.advance(2)
    assert [limited(*say)[0] for _ in range(2)] == [200, 429]


def test_a_listener_serves_only_its_resources() -> None:
    some = Asker(Rooms())
    some.router = some.router.only(["federation"])
    assert some("PUT", "/_matrix/federation/v1/send/1", {"user_id": "@b:b"})[0] == 200
    assert errcodes([some("GET", ROOM + "/state/x")]) == [(404, "M_UNRECOGNIZED")]


# Declarations that nobody could serve fail at start-up.


def declared(part: type) -> None:
    Asker(part())


def test_a_path_declared_twice() -> None:
    class Twice:
        @get("/a/{x}")
        async def one(self, x: str) -> None: ...

        @get("/a/{y}")
        async def other(self, y: str) -> None: ...

    with pytest.raises(BadEndpoint, match="declared twice"):
        declared(Twice)


@pytest.mark.parametrize("kind", [object, float, dict[int, str]])
def test_a_parameter_of_an_unknown_type(kind: Any) -> None:
    class Strange:
        @get("/a/{x}")
        async def one(self, x: str) -> None: ...

    Strange.one.__annotations__["x"] = kind
    with pytest.raises(BadEndpoint):
        declared(Strange)


def test_a_parameter_that_is_not_in_the_path() -> None:
    class Missing:
        @get("/a")
        async def one(self, x: str) -> None: ...

    class Untaken:
        @get("/a/{x}")
        async def one(self) -> None: ...

    class Plain:
        @get("/a")
        def one(self) -> None: ...

    for part in (Missing, Untaken, Plain):
        with pytest.raises(BadEndpoint):
            declared(part)
