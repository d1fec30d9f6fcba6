"""People at a server's client API over HTTP: a small client that syncs and remembers what it saw, as any client does."""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

PATIENCE = 20.0  # seconds for what another server has to tell us
POLL = 500  # milliseconds a sync waits
FILTER = '{"room": {"timeline": {"limit": 1000}}}'

_numbers = itertools.count()


class Reply(NamedTuple):
    """An answer: its status, its JSON (or None), its bytes."""

    status: int
    json: Any
    raw: bytes
    headers: Any


class Refusal(AssertionError):
    """A server refused what should work."""


def ask(url: str, verb: str, path: str, body: Any = None, token: str | None = None, /, **more: Any) -> Reply:
    """The answer to one request.  `body` is JSON, or bytes as they are; `more` are query parameters."""
    query = "?" + urlencode(more, doseq=True) if more else ""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"content-type": "image/png" if isinstance(body, bytes) else "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    request = Request(url + quote(path, safe="/%:@!$&'()*+,;=~") + query, data, headers, method=verb)
    try:
        with urlopen(request, timeout=60) as answer:
            return _reply(answer.status, answer)
    except HTTPError as error:
        return _reply(error.code, error)


def _reply(status: int, answer: Any) -> Reply:
    raw = answer.read()
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    return Reply(status, json.loads(raw) if is_json and raw else None, raw, answer.headers)


@dataclass
class Person:
    """A device of somebody, and what it saw of the rooms, invites and messages."""

    url: str
    user_id: str
    token: str
    device_id: str
    since: str | None = None
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Per room: its timeline, as it came."""
    rooms: dict[str, str] = field(default_factory=dict)
    """Room -> join, invite, knock or leave."""
    shown: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Room -> the stripped state that came with an invite or a knock."""
    to_device: list[dict[str, Any]] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Users whose devices changed."""
    typing: dict[str, list[str]] = field(default_factory=dict)
    receipts: dict[tuple[str, str], str] = field(default_factory=dict)
    """(room, user) -> the last event read."""
    presence: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The part before the colon."""
        return self.user_id[1:].partition(":")[0]

    @property
    def server(self) -> str:
        """The name of the server."""
        return self.user_id.partition(":")[2]

    def ask(self, verb: str, path: str, body: Any = None, /, **query: Any) -> Reply:
        """An answer, good or bad.  Paths that do not begin with /_ are below /_matrix/client/v3."""
        return ask(self.url, verb, path if path.startswith("/_") else "/_matrix/client/v3" + path, body, self.token, **query)

    def must(self, verb: str, path: str, body: Any = None, /, **query: Any) -> Any:
        """The JSON of an answer that must be good."""
        reply = self.ask(verb, path, body, **query)
        if reply.status != 200:
            raise Refusal(f"{self.user_id}: {verb} {path}: {reply.status} {reply.raw[:500]!r}")
        return reply.json

    # --- rooms --------------------------------------------------------------------------------------

    def creates(self, **how: Any) -> str:
        """A new room."""
        room: str = self.must("POST", "/createRoom", how)["room_id"]
        return room

    def invites(self, other: "Person", room: str) -> None:
        """Invite somebody."""
        self.must("POST", f"/rooms/{room}/invite", {"user_id": other.user_id})

    def joins(self, room: str, *via: str) -> str:
        """Join by id or alias; the id."""
        joined: str = self.must("POST", f"/join/{_part(room)}", {}, **({"server_name": via, "via": via} if via else {}))["room_id"]
        return joined

    def may_not_join(self, room: str, *via: str) -> None:
        """Try, in vain.  Servers differ in what they say of rooms that are none of somebody's business."""
        reply = self.ask("POST", f"/join/{_part(room)}", {}, server_name=via, via=via)
        assert reply.status in (403, 404, 502), reply
        assert room not in self.must("GET", "/joined_rooms")["joined_rooms"]

    def knocks(self, room: str, *via: str) -> None:
        """Knock."""
        self.must("POST", f"/knock/{_part(room)}", {"reason": "let me in"}, **({"server_name": via, "via": via} if via else {}))

    def leaves(self, room: str) -> None:
        """Leave."""
        self.must("POST", f"/rooms/{room}/leave", {})

    def says(self, room: str, text: str) -> str:
        """Say something; the event's id."""
        content = {"msgtype": "m.text", "body": text}
        sent: str = self.must("PUT", f"/rooms/{room}/send/m.room.message/{next(_numbers)}-{time.time_ns()}", content)["event_id"]
        return sent

    def sets(self, room: str, kind: str, content: dict[str, Any], key: str = "") -> str:
        """Set state; the event's id."""
        sent: str = self.must("PUT", f"/rooms/{room}/state/{kind}/{_part(key)}", content)["event_id"]
        return sent

    def members(self, room: str) -> dict[str, str]:
        """User -> membership, as the server has it now."""
        return {event["state_key"]: event["content"]["membership"] for event in self.must("GET", f"/rooms/{room}/members")["chunk"]}

    def history(self, room: str) -> list[dict[str, Any]]:
        """All events of the room that can be read, oldest first."""
        found: list[dict[str, Any]] = []
        start: str | None = None
        while True:
            page = self.must("GET", f"/rooms/{room}/messages", dir="b", limit=100, **({"from": start} if start else {}))
            found += page["chunk"]
            start = page.get("end")
            if start is None:
                return found[::-1]

    # --- what comes ---------------------------------------------------------------------------------

    def syncs(self, wait: int = 0) -> dict[str, Any]:
        """One sync, remembered."""
        answer: dict[str, Any] = self.must("GET", "/sync", timeout=wait, filter=FILTER, **({"since": self.since} if self.since else {}))
        self.since = answer["next_batch"]
        for membership, rooms in answer.get("rooms", {}).items():
            for room, section in rooms.items():
                self._sees(membership, room, section)
        self.to_device += answer.get("to_device", {}).get("events", [])
        self.presence |= {event["sender"]: event["content"] for event in answer.get("presence", {}).get("events", [])}
        self.changed |= set(answer.get("device_lists", {}).get("changed", []))
        return answer

    def _sees(self, membership: str, room: str, section: dict[str, Any]) -> None:
        self.rooms[room] = membership
        self.events.setdefault(room, []).extend(section.get("timeline", {}).get("events", []))
        for event in section.get("ephemeral", {}).get("events", []):
            if event["type"] == "m.typing":
                self.typing[room] = event["content"]["user_ids"]
            else:
                self.receipts |= {(room, user): read for read, kinds in event["content"].items() for user in kinds.get("m.read", {})}
        for key in ("invite_state", "knock_state"):
            if key in section:
                self.shown[room] = section[key]["events"]

    def awaits(self, what: str, found: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Sync until something is found."""
        until = time.monotonic() + patience
        while not (result := found()):
            if time.monotonic() > until:
                raise AssertionError(f"{self.user_id} waited {patience} s in vain for {what}; saw {self._saw()}")
            self.syncs(POLL)
        return result

    def awaits_membership(self, room: str, membership: str) -> None:
        """Until the server lists the room so."""
        self.awaits(f"{membership} in {room}", lambda: self.rooms.get(room) == membership)

    def awaits_event(self, room: str, event_id: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Until the event is in the timeline."""
        event: dict[str, Any] = self.awaits(
            f"{event_id} in {room}", lambda: next((e for e in self.events.get(room, []) if e["event_id"] == event_id), None), patience
        )
        return event

    def awaits_member(self, room: str, other: str, membership: str) -> dict[str, Any]:
        """Until somebody's membership is in the timeline."""

        def found() -> dict[str, Any] | None:
            changes = [e for e in self.events.get(room, []) if e["type"] == "m.room.member" and e.get("state_key") == other]
            return changes[-1] if changes and changes[-1]["content"]["membership"] == membership else None

        event: dict[str, Any] = self.awaits(f"{membership} of {other} in {room}", found)
        return event

    def _saw(self) -> str:
        told = {
            room: [(event["type"], event["content"].get("body", event["content"].get("membership"))) for event in events]
            for room, events in self.events.items()
        }
        return f"{self.rooms} {told} {self.to_device}"[-1500:]


def _part(text: str) -> str:
    return quote(text, safe="!:@$")


def register(url: str, localpart: str) -> Person:
    """A new account, in the way every client makes one."""
    wanted = {"username": localpart, "password": "a long password", "auth": {"type": "m.login.dummy"}}
    answer = ask(url, "POST", "/_matrix/client/v3/register", wanted)
    if answer.status == 401:  # a session is asked for
        wanted["auth"] = {"type": "m.login.dummy", "session": answer.json["session"]}
        answer = ask(url, "POST", "/_matrix/client/v3/register", wanted)
    assert answer.status == 200, answer
    return Person(url, answer.json["user_id"], answer.json["access_token"], answer.json["device_id"])
