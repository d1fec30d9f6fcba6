"""Every endpoint that could speak of a room, asked about one room or another: what is answered, and what the database is asked meanwhile.

The endpoints come from the router's own table, so none can be forgotten.
"""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from homeserver.events import canonical, signing, versions
from homeserver.events import event as events_core
from homeserver.events.versions import RoomVersion
from homeserver.federation.authentication import authorization
from homeserver.storage.transactions import Transaction
from homeserver.web.endpoints import Endpoint
from homeserver.web.types import Request
from tests.hostile.rig import body_of, query_names
from tests.world import Client, Home, Network, _pieces, _whole

VERSION = versions.get("11")
# What ends the session that asks, or the account.  None is about a room.
NOT_ASKED = re.compile(r"/_homeserver/metrics|/(logout|deactivate|delete_devices|password|refresh)(/|$)|/devices/")
STATEMENTS = {getattr(Transaction, name).__code__: name for name in ("all", "one", "value", "run", "many")}
INSERT = Transaction.insert.__code__


@dataclass(frozen=True)
class About:
    """A room, one of its events and an alias for it: of a room that there is, or that never was."""

    room: str
    event: str
    alias: str
    version: RoomVersion = VERSION


@dataclass
class Told:
    """What came of a request: the answer and what was asked of the database, without what names the room or the asker."""

    status: int
    headers: dict[str, str]
    body: str
    statements: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Requests to other servers."""
    seconds: float = 0.0

    @property
    def answer(self) -> tuple[int, dict[str, str], str]:
        """What the asker sees."""
        return self.status, self.headers, self.body


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that are carried out within, as they are written in the program."""
    seen: list[str] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in STATEMENTS:
            seen.append(frame.f_locals["sql"])
        elif event == "call" and frame.f_code is INSERT:
            seen.append(f"INSERT INTO {frame.f_locals['table']}")

    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def endpoints(home: Home) -> list[Endpoint]:
    """All that could be about a room: the router's table, each once, without older names of the same and without what ends the session."""
    found = [
        one
        for one in home.server.router.endpoints()
        if "/r0/" not in one.route.path and "/media/" not in one.route.path and not NOT_ASKED.search(one.route.path)
    ]
    return sorted(found, key=lambda one: (one.route.path, one.route.method))


@dataclass(frozen=True)
class Asker:
    """Somebody who may know nothing: a user of the server, or another server with its user."""

    network: Network
    client: Client
    to: Home
    turn: int = 0

    def is_about(self, endpoint: Endpoint, one: About, other: About) -> bool:
        """Whether a request says anywhere which room, event or alias it is about."""
        first, second = self._request(endpoint, one, []), self._request(endpoint, other, [])
        return (first.path, first.query, first.body) != (second.path, second.query, second.body)

    async def ask(self, endpoint: Endpoint, about: About, via: list[str]) -> Told:
        """One request, and all that it sets off."""
        request = self._request(endpoint, about, via)
        self.network.log.clear()
        began = time.perf_counter()
        with statements() as seen:
            response = await self.to.respond(request)
            body = b"".join([piece async for piece in _pieces(response.body)])
        seconds = time.perf_counter() - began
        hide = self._names(about)
        headers = {name.lower(): hide(value) for name, value in response.headers.items()}
        others = [f"{to} {method} {hide(path)}" for source, to, method, path in self.network.log if source == self.to.name]
        return Told(response.status, headers, hide(body.decode(errors="replace")), seen, others, seconds)

    def _request(self, endpoint: Endpoint, about: About, via: list[str]) -> Request:
        path = "/".join(self._part(part, about) for part in endpoint.route.path.split("/"))
        query = urlencode(self._query(endpoint, about, via), doseq=True)
        value = self._body(endpoint, about)
        raw = b"" if value is None else orjson.dumps(value)
        uri = f"{path}?{query}" if query else path
        if endpoint.origin:
            content = None if value is None else canonical.encode(value)
            signed = authorization(self.client.home.server.identity, self.to.name, endpoint.route.method, uri, content)
            headers = {"authorization": signed}
        else:
            headers = {"authorization": f"Bearer {self.client.token}"}
        return Request(endpoint.route.method, path, query, headers, raw, "10.0.0.1", upload=_whole(raw))

    def _part(self, part: str, about: About) -> str:
        return quote(self.in_path(about).get(part[1:-1], "x"), safe="") if part.startswith("{") else part

    def in_path(self, about: About) -> dict[str, str]:
        """What stands in the place of parts of a path, by name."""
        return {
            "room_id": about.room, "room_id_or_alias": about.room, "event_id": about.event, "alias": about.alias, "room_alias": about.alias,
            "user_id": self.client.user_id, "event_type": "m.room.name", "type": "m.read", "receipt_type": "m.read", "rel_type": "m.thread",
            "kind": "room", "scope": "global", "rule_id": about.room, "thread_root": about.event, "tag": "u.x", "state_key": "x",
            "txn_id": f"{self.client.user_id}{about.event}{self.turn}", "version": "1", "server_name": self.to.name,
        }  # fmt: skip

    def _query(self, endpoint: Endpoint, about: About, via: list[str]) -> dict[str, Any]:
        known = self.in_query(about, via)
        return {name: known[name] for name in query_names(endpoint) if name in known}

    def in_query(self, about: About, via: list[str]) -> dict[str, Any]:
        """What is asked for in a query, by name."""
        return {
            "room_id": about.room, "event_id": about.event, "room_alias": about.alias, "v": [about.event], "ver": [VERSION.id],
            "dir": "b", "ts": "1", "timeout": "0", "user_id": self.client.user_id, "limit": "10",
            "filter": orjson.dumps({"room": {"rooms": [about.room]}}).decode(),
            **({"via": via, "server_name": via} if via else {}),
        }  # fmt: skip

    def _body(self, endpoint: Endpoint, about: About) -> Any:
        path, user = endpoint.route.path, self.client.user_id
        if endpoint.origin:
            kind = next((one for one in ("send_join", "send_leave", "send_knock", "invite", "prove_invite") if f"/{one}/" in path), None)
            if kind is not None:
                return self._member(kind, path, about)
            if "/send/{txn_id}" in path:
                return self._transaction(about)
            if "get_missing_events" in path:
                return {"earliest_events": [], "latest_events": [about.event], "limit": 10}
        given = body_of(endpoint)
        if given is None:
            return None
        text = orjson.dumps(given).decode().replace("!x:a", about.room).replace("$x", about.event).replace("#x:a", about.alias)
        text = text.replace("@bob:b", user) if endpoint.origin else text
        value = orjson.loads(text)
        if isinstance(value, dict) and "rooms" in value:
            value["rooms"] = value["rooms"] if isinstance(value["rooms"], dict) else [about.room]
        if path.endswith("/sync") and endpoint.route.method == "POST":
            value = {"room_subscriptions": {about.room: {"timeline_limit": 5, "required_state": [["*", "*"]]}}, "extensions": {}}
        if path.endswith("/search"):
            criteria = {"search_term": "secret", "keys": ["content.body"], "filter": {"rooms": [about.room]}}
            value = {"search_categories": {"room_events": criteria}}
        return value

    def _member(self, kind: str, path: str, about: About) -> Any:
        """A membership of the asker's user that is in perfect order, as far as the asker can make it."""
        membership = {"send_join": "join", "send_leave": "leave", "send_knock": "knock"}.get(kind, "invite")
        signed = self.signed("m.room.member", {"membership": membership}, about, self.client.user_id)
        if kind == "prove_invite" or ("/v2/" in path and kind == "invite"):
            return {"room_version": about.version.id, "event": signed, "invite_room_state": []}
        return signed

    def _transaction(self, about: About) -> Any:
        user = str(self.client.user_id)
        typing = {"room_id": about.room, "user_id": user, "typing": True}
        receipt = {about.room: {"m.read": {user: {"event_ids": [about.event], "data": {"ts": 1}}}}}
        pdus = [self.signed("m.room.message", {"body": "x"}, about), self.signed("m.room.member", {"membership": "join"}, about, user)]
        edus = [{"edu_type": "m.typing", "content": typing}, {"edu_type": "m.receipt", "content": receipt}]
        return {"origin": self.client.home.name, "origin_server_ts": 1, "pdus": pdus, "edus": edus}

    def signed(self, kind: str, content: dict[str, Any], about: About, state_key: str | None = None) -> dict[str, Any]:
        """An event of the asker's user, signed by their server."""
        data: dict[str, Any] = {
            "type": kind, "sender": self.client.user_id, "room_id": about.room, "content": content, "depth": 9, "origin_server_ts": 1,
            "prev_events": [about.event], "auth_events": [about.event],
        }  # fmt: skip
        if state_key is not None:
            data["state_key"] = state_key
        signed: dict[str, Any] = self.client.home.server.identity.sign_event(about.version, signing.add_hash(about.version, data))
        events_core.read(about.version, signed)
        return signed

    def _names(self, about: About) -> Any:
        room, event = re.escape(quote(about.room, safe="")), re.escape(quote(about.event, safe=""))
        names = f"{re.escape(about.room)}|{re.escape(about.event)}|{re.escape(about.alias)}|{room}|{event}|{quote(about.alias, safe='')}"
        mine = f"{re.escape(self.client.user_id)}|{re.escape(quote(self.client.user_id, safe=''))}|{self.client.device_id}"
        mine += rf"|\b{re.escape(self.client.user_id[1:].partition(':')[0])}\b"

        def hide(text: str) -> str:
            text = re.sub(mine, "ASKER", re.sub(names, "NAMED", text))
            # Ids that are made of these, tokens and times.
            return re.sub(r"(\$|%24)[\w-]{43}|\b[\w-]{18,}\b|\b\d{13}\b|[0-9a-f]{6,12}\.\d+|\bsp1_[^\"]*", "MADE", text)

        return hide
