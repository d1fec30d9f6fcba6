"""Requests as nobody should send them: shapes of all endpoints, and what may stand in the place of anything."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import quote

import msgspec
import orjson

from homeserver.events import canonical
from homeserver.events.errors import Malformed
from homeserver.federation.authentication import authorization
from homeserver.web.endpoints import Endpoint
from homeserver.web.types import Request, Response
from tests.world import Client, Home, Network, _pieces, _whole, drive, good

JSONObject = dict[str, Any]

# What wrong things look like.  As JSON texts: some of them no Python value stands for.
DEEP = "[" * 1000 + "]" * 1000
WRONG = [
    *("null", "true", "0", "-1", "1.5", "1e308", str(2**53), str(2**63), "1" + "0" * 40, '""', '"x"', '"\\u0000"', '"\\ud800"'),
    *('"%s"' % ("x" * 300), '"%s"' % ("\U0001f600" * 80), "[]", "[[]]", "[null]", '["x"]'),
    *("[1]", "{}", '{"a":1}', '{"":null}', '{"a":{"a":[]}}', DEEP),
]
NO_JSON = [
    *(b"{", b"x", b'{"a":}', b"\xff\xfe", b'{"a":"\xc3\x28"}', b'{"a":"\\ud800"}', b'{"\\udfff":1}', b"{}{}", b"NaN"),
    *(b'{"a":Infinity}', b"'{}'"),
]
NO_OBJECT = [b"null", b"true", b"1", b'"x"', b"[]", b"[{}]", b"[1,2]", DEEP.encode(), b'{"a":' + DEEP.encode() + b"}"]
ODD_PARTS = [
    *("%00", "%ff", "%c3%28", "%ed%a0%80", "%", "%zz", "..", "%2e%2e", "%2F", "x" * 300, "%F0%9F%98%80" * 80, "-1", "0", "true"),
    *(str(2**63), "!", "!x", "!x:", "!x:b", "@", "@x", "@x:b", "@x:a:b", "$", "$x", "%23x", "%23x:b", "b", "a:99999", "[::1", "1.2.3.4"),
]
ODD_VALUES = [
    *("", "%00", "%ff", "-1", "0", str(2**53), str(2**63), "9" * 30, "1.5", "true", "null", "{}", "[", "{%22a%22:1}", "x" * 300),
    *("t0_0", "s", "f", "b", "m1", "%ed%a0%80"),
]


# Tables that a refused request may touch: half-done authentications, what is known of other servers, numbers that are used up.
VOLATILE = {"auth_sessions", "destinations", "server_keys", "server_key_documents", "writers"}
_WRITE = re.compile(r"(?:INSERT INTO|INSERT OR \w+ INTO|UPDATE|DELETE FROM)\s+(\w+)")


class Writes:
    """The tables that a connection has written to since the last look, as far as that was not undone."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._before = connection, 0
        self._pending: list[str] = []
        self._committed: set[str] = set()
        connection.set_trace_callback(self._see)

    def _see(self, sql: str) -> None:
        if self._pending and self._pending[-1] and self._connection.total_changes == self._before:
            self._pending.pop()  # the statement found nothing to change
        self._before = self._connection.total_changes
        if sql == "COMMIT":
            self._committed.update(self._pending)
            self._pending.clear()
        elif sql == "ROLLBACK":
            self._pending.clear()
        elif sql.startswith("SAVEPOINT"):
            self._pending.append("")
        elif sql.startswith("ROLLBACK TO"):
            while self._pending and self._pending.pop():
                pass
        elif found := _WRITE.match(sql):
            self._pending.append(found[1])

    def look(self) -> set[str]:
        """What was written, but for what may be."""
        written, self._committed = self._committed, set()
        return written - VOLATILE - {""}


@dataclass
class Target:
    """A server with somebody on it, who has a room that a user of another server is in, too."""

    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        self.home, self.other = self.network.server("a"), self.network.server("b")
        self.alice: Client = self.run(self.home.user("alice", "D", admin=True))
        bob: Client = self.run(self.other.user("bob", "E"))
        self.bob = bob
        self.room: str = good(self.run(self.alice.post("/createRoom", {"preset": "public_chat", "room_alias_name": "x"})))["room_id"]
        good(self.run(bob.post(f"/join/{self.room}", {}, server_name=["a"])))
        sent = self.run(self.alice.put(f"/rooms/{self.room}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"}))
        self.event: str = good(sent)["event_id"]
        self.run(self.settled())
        backup = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {}}
        good(self.run(self.alice.post("/room_keys/version", backup)))
        link: Any = self.home.server.database._links[0]
        self.writes = Writes(link._connection)

    def run(self, work: Any) -> Any:
        return drive(work, self.network.reactor)

    async def settled(self) -> None:
        for home in (self.home, self.other):
            await home.server.federation.outbox.idle()
            await home.server.arrivals.inbox.idle()

    # --- requests ----------------------------------------------------------------------------------------

    def parts(self, endpoint: Endpoint) -> dict[str, str]:
        """What stands in a path where all is well."""
        ours = not endpoint.origin
        return {
            "room_id": self.room, "room_id_or_alias": self.room, "event_id": self.event, "user_id": "@alice:a" if ours else "@bob:b",
            "alias": "%23x:a", "server_name": "a", "media_id": "abc", "device_id": "D", "event_type": "m.room.message", "type": "m.read",
            "field": "displayname", "stage": "m.login.dummy", "kind": "override", "rule_id": ".m.rule.master", "filter_id": "1",
            "version": "1", "action": "send", "rel_type": "m.thread", "state_key": "@alice:a", "tag": "u.x",
        }  # fmt: skip

    def path(self, endpoint: Endpoint, odd: tuple[str, str] | None = None) -> str:
        """The path of the endpoint, with one of its parts replaced."""
        parts = self.parts(endpoint) | (dict([odd]) if odd else {})
        return "/".join(parts.get(part[1:-1], "x1") if part.startswith("{") else part for part in endpoint.route.path.split("/"))

    def send(self, endpoint: Endpoint, method: str, path: str, raw: bytes, query: str) -> tuple[Response, bytes]:
        """The answer to a request of somebody who may ask."""
        raw = raw.replace(b"!x:a", self.room.encode()).replace(b"$x", self.event.encode())
        headers = self._signed(method, path, raw, query) if endpoint.origin else {"authorization": f"Bearer {self.alice.token}"}
        response: Response = self.run(self.home.respond(Request(method, path, query, headers, raw, upload=_whole(raw))))
        body: bytes = self.run(_joined(response))
        return response, body

    def _signed(self, method: str, path: str, raw: bytes, query: str) -> dict[str, str]:
        try:
            content = canonical.encode(json.loads(raw), strict=False) if raw else None
        except (ValueError, Malformed, RecursionError):
            content = None
        uri = f"{path}?{query}" if query else path
        return {"authorization": authorization(self.other.server.identity, self.home.name, method, uri, content)}


async def _joined(response: Response) -> bytes:
    return b"".join([piece async for piece in _pieces(response.body)])


# --- bodies ------------------------------------------------------------------------------------------------

USER_AUTH = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "x"}
MEMBER = {
    "type": "m.room.member", "sender": "@bob:b", "state_key": "@bob:b", "room_id": "!x:a", "content": {"membership": "join"}, "depth": 5,
    "origin_server_ts": 5, "prev_events": ["$x"], "auth_events": ["$x"], "hashes": {"sha256": "x"}, "signatures": {"b": {"ed25519:1": "x"}},
}  # fmt: skip
KEY = {"user_id": "@alice:a", "usage": ["master"], "keys": {"ed25519:x": "x"}, "signatures": {"@alice:a": {"ed25519:x": "x"}}}
SESSION = {"first_message_index": 1, "forwarded_count": 0, "is_verified": True, "session_data": {}}
# Bodies that are any object, by the end of their path: what somebody would write there.
KNOWN: dict[str, JSONObject] = {
    "device_signing/upload": {"master_key": KEY, "self_signing_key": KEY, "user_signing_key": KEY, "auth": USER_AUTH},
    "signatures/upload": {"@alice:a": {"D": {"user_id": "@alice:a", "device_id": "D", "signatures": {"@alice:a": {"ed25519:D": "x"}}}}},
    "dehydrated_device": {"device_id": "X", "device_data": {"algorithm": "x"}, "device_keys": {}, "one_time_keys": {}, "fallback_keys": {}},
    "{device_id}/events": {"next_batch": "0"},
    "{field}": {"displayname": "x", "avatar_url": "x"},
    "get_token": {"auth": USER_AUTH},
    "3pid": {"three_pid_creds": {"sid": "x", "client_secret": "x"}, "auth": USER_AUTH},
    "3pid/add": {"sid": "x", "client_secret": "x", "auth": USER_AUTH},
    "deactivate": {"erase": True, "auth": USER_AUTH},
    "account/password": {"new_password": "xyzxyz", "logout_devices": True, "auth": USER_AUTH},
    "delete_devices": {"devices": ["E"], "auth": USER_AUTH},
    "devices/{device_id}": {"auth": USER_AUTH},
    "login": {
        "type": "m.login.password", "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "x"}, "user": "x",
        "password": "x", "device_id": "x", "initial_device_display_name": "x", "refresh_token": True, "token": "x",
    },
    "register": {
        "username": "x", "password": "x", "device_id": "x", "inhibit_login": True, "type": "x", "auth": {"type": "m.login.dummy"},
    },
    "join/{room_id_or_alias}": {"reason": "x", "third_party_signed": {"mxid": "x", "sender": "x", "token": "x", "signatures": {}}},
    "knock/{room_id_or_alias}": {"reason": "x"},
    "/join": {"reason": "x", "third_party_signed": {}, "displayname": "x"},
    "/leave": {"reason": "x"},
    "pushers/set": {
        "pushkey": "x", "kind": "http", "app_id": "x", "app_display_name": "x", "device_display_name": "x", "profile_tag": "x", "lang": "x",
        "data": {"url": "https://example.org/_matrix/push/v1/notify", "format": "event_id_only"}, "append": True, "enabled": True,
    },
    "room_keys/keys": {"rooms": {"!x:a": {"sessions": {"s": SESSION}}}},
    "room_keys/keys/{room_id}": {"sessions": {"s": SESSION}},
    "room_keys/keys/{room_id}/{session_id}": SESSION,
    "receipt/{type}/{event_id}": {"thread_id": "main"},
    "redact/{event_id}": {"reason": "x"},
    "redact/{event_id}/{txn_id}": {"reason": "x"},
    "{room_id}/links": {"approval": False, "key_custody": True, "key": "x", "expires_ms": 60000, "uses": 1},
    "/follow_link": {"server": "a", "token": "x", "user_id": "@bob:b", "device_id": "D", "public_key": ""},
    "send/{event_type}/{txn_id}": {
        "msgtype": "m.text", "body": "x", "m.mentions": {"user_ids": ["@bob:b"], "room": True},
        "m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "x", "m.in_reply_to": {"event_id": "$x"}},
        "m.new_content": {},
    },
    "state/{event_type}": {"topic": "x", "m.topic": {"m.text": [{"body": "x"}]}},
    "state/{event_type}/{state_key}": {"membership": "join", "displayname": "x"},
    "account_data/{kind}": {"a": {"b": 1}},
    "user/{user_id}/filter": {
        "event_fields": ["x"], "event_format": "client", "presence": {"limit": 1, "types": ["x"]}, "account_data": {"not_types": ["x"]},
        "room": {"rooms": ["!x:a"], "timeline": {"limit": 1, "senders": ["@a:a"]}, "state": {"lazy_load_members": True}},
    },
    "tags/{tag}": {"order": 0.5},
    "invite/{room_id}/{event_id}": {
        "room_version": "12", "invite_room_state": [MEMBER],
        "event": MEMBER | {"state_key": "@alice:a", "content": {"membership": "invite"}},
    },
    "v1/invite/{room_id}/{event_id}": MEMBER | {"event_id": "$x:b", "unsigned": {"invite_room_state": [MEMBER]}},
    "send_join/{room_id}/{event_id}": MEMBER,
    "send_leave/{room_id}/{event_id}": MEMBER | {"content": {"membership": "leave"}},
    "send_knock/{room_id}/{event_id}": MEMBER | {"content": {"membership": "knock"}},
    "v1/send/{txn_id}": {
        "origin": "b", "origin_server_ts": 1, "pdus": [MEMBER],
        "edus": [{"edu_type": "m.typing", "content": {"room_id": "!x:a", "user_id": "@bob:b"}}],
    },
    "createRoom": {
        "preset": "public_chat", "name": "x", "topic": "x", "invite": ["@bob:b"], "visibility": "public",
        "initial_state": [{"type": "m.x", "state_key": "", "content": {}}], "room_version": "11",
        "creation_content": {"m.federate": True, "predecessor": {"room_id": "!x:a"}},
        "power_level_content_override": {"users": {"@alice:a": 100}, "events": {"m.x": 1}, "ban": 50}, "is_direct": True,
    },
}  # fmt: skip


def body_of(endpoint: Endpoint) -> JSONObject | list[Any] | None:
    """A body as a client would send it; None where there is none."""
    path = endpoint.route.path
    known = [end for end in KNOWN if path.endswith(end)]
    if known and (endpoint.body is not None):
        return KNOWN[max(known, key=len)]
    if endpoint.body is None or endpoint.body.raw:
        return None
    made: Any = sample(endpoint.body.kind, "")
    return made  # type: ignore[no-any-return]


WORDS = {"user_id": "@bob:b", "room_id": "!x:a", "event_id": "$x", "email": "a@b.cc", "url": "https://example.org/", "country": "DE"}


def sample(kind: Any, name: str) -> Any:
    """A value of this type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return sample(inner[0], name)
    if origin is Literal:
        return inner[0]
    if origin in (Union, UnionType):
        return sample(next(one for one in inner if one is not type(None)), name)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {one.encode_name: sample(one.type, one.encode_name) for one in msgspec.structs.fields(kind)}
    if (origin or kind) in (list, tuple, set, frozenset):
        return [sample(inner[0], name) if inner else "x"]
    if (origin or kind) is dict:
        return {"@bob:b": sample(inner[1], name) if len(inner) > 1 else {}}
    return {bool: True, int: 1, float: 1.5}.get(kind, WORDS.get(name, {} if kind is Any else "x"))


def mutants(body: Any, depth: int = 2) -> Iterator[bytes]:
    """The body with each of its fields replaced by each of the wrong things, missing, or given twice."""
    for place in places(body, depth):
        for wrong in WRONG:
            yield _replaced(body, place, wrong)
        yield orjson.dumps(_without(body, place))
    if isinstance(body, dict):
        yield b"{" + b",".join(orjson.dumps(key) + b":null," + orjson.dumps(key) + b":" + orjson.dumps(body[key]) for key in body) + b"}"
        yield orjson.dumps(body | {f"k{number}": number for number in range(1000)})


Place = tuple[Any, ...]


def places(value: Any, depth: int) -> Iterator[Place]:
    """The paths to all members, down to a depth."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield (key,)
        if depth > 1:
            yield from ((key, *rest) for rest in places(inner, depth - 1))


MARK = "--here--"


def _replaced(body: Any, place: Place, text: str) -> bytes:
    return json.dumps(_put(body, place, MARK)).replace(f'"{MARK}"', text).encode()


def _put(value: Any, place: Place, new: Any) -> Any:
    if not place:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _put(copy[place[0]], place[1:], new)
    return copy


def _without(value: Any, place: Place) -> Any:
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if len(place) > 1:
        copy[place[0]] = _without(copy[place[0]], place[1:])
    else:
        del copy[place[0]]
    return copy


def query_names(endpoint: Endpoint) -> list[str]:
    """The names of the query parameters, as far as the declaration tells."""
    cells = getattr(endpoint.query, "__closure__", None) or ()
    kinds = [cell.cell_contents for cell in cells if isinstance(cell.cell_contents, type)]
    return [one.encode_name for kind in kinds if issubclass(kind, msgspec.Struct) for one in msgspec.structs.fields(kind)]


def endpoints() -> list[Endpoint]:
    """All endpoints but the older names of the same."""
    home: Home = Network().server("a")
    found = [one for one in home.server.router.endpoints() if "/r0/" not in one.route.path and "/media/v1/" not in one.route.path]
    return sorted(found, key=lambda one: (one.route.path, one.route.method))


def encoded(text: str) -> str:
    """For a path."""
    return quote(text, safe="")
