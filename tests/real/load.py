"""People who never rest: they talk, make rooms, join and leave, until their server is gone, and know what they were promised."""

import http.client
import json
import random
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from tests.real.people import Person


@dataclass(frozen=True)
class Act:
    """A request that may be repeated as it is: the same answer, the same effect."""

    who: Person
    verb: str
    path: str
    body: dict[str, Any]
    room: str
    way: str
    """send, state, join or leave."""


@dataclass
class Promises:
    """What the server answered with success, and what it did not come to answer."""

    sent: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Event -> (room, text)."""
    rooms: set[str] = field(default_factory=set)
    joined: dict[tuple[str, str], bool] = field(default_factory=dict)
    """(user, room) -> whether they are in it."""
    open: list[Act] = field(default_factory=list)

    def repeat(self) -> None:
        """Ask once more for what was not answered."""
        while self.open:
            act = self.open.pop()
            answer = act.who.ask(act.verb, f"/{act.path}", act.body)
            # Who has left already may not leave again.
            assert answer.status == 200 or (act.way, answer.status) == ("leave", 403), (act, answer)
            if act.way in ("join", "leave"):
                self.joined[act.who.user_id, act.room] = act.way == "join"
            else:
                self.sent[answer.json["event_id"]] = act.room, act.body["body"]


# A room in which everybody may set notes.
ROOM = {"preset": "public_chat", "power_level_content_override": {"events": {"org.example.note": 0}}}


class Gone(Exception):
    """The server did not answer."""


class Worker:
    """One of these people, with a connection that stays open."""

    def __init__(self, who: Person, promises: Promises, chance: random.Random) -> None:
        self.who, self.promises, self.chance = who, promises, chance
        self.number, self.own = 0, set[str]()  # whoever made a room stays: an empty room can be joined by nobody
        place = urlsplit(who.url)
        self.place = (place.hostname or "", place.port or 0)

    def works(self, stop: threading.Event) -> None:
        """Act until the server is gone, or enough."""
        connection = http.client.HTTPConnection(*self.place, timeout=30)
        try:
            while not stop.is_set():
                self._acts(connection)
        except Gone:
            return
        finally:
            connection.close()

    def _acts(self, connection: http.client.HTTPConnection) -> None:
        room, dice = self.chance.choice(sorted(self.promises.rooms)), self.chance.random()
        is_in = self.promises.joined.get((self.who.user_id, room), False)
        if dice < 0.03:
            made = self._asks(connection, "POST", "createRoom", ROOM)["room_id"]
            self.promises.joined[self.who.user_id, made] = True
            self.own.add(made)
            self.promises.rooms.add(made)
        elif not is_in:
            self._moves(connection, room, "join")
        elif dice < 0.08 and room not in self.own:
            self._moves(connection, room, "leave")
        elif dice < 0.15:
            self._says(connection, room, "state")
        else:
            self._says(connection, room, "send")

    def _moves(self, connection: http.client.HTTPConnection, room: str, way: str) -> None:
        key = self.who.user_id, room
        self.promises.joined.pop(key, None)  # while it is not answered nobody knows
        act = Act(self.who, "POST", f"rooms/{room}/{way}", {}, room, way)
        self.promises.open.append(act)
        self._asks(connection, act.verb, act.path, act.body)
        self.promises.open.remove(act)
        self.promises.joined[key] = way == "join"

    def _says(self, connection: http.client.HTTPConnection, room: str, way: str) -> None:
        self.number += 1
        text = f"{self.who.name} {self.number}"
        kind = "m.room.message" if way == "send" else "org.example.note"
        path = f"rooms/{room}/{way}/{kind}/{text.replace(' ', '_')}"
        act = Act(self.who, "PUT", path, {"msgtype": "m.text", "body": text}, room, way)
        self.promises.open.append(act)
        answer = self._asks(connection, act.verb, act.path, act.body)
        self.promises.open.remove(act)
        self.promises.sent[answer["event_id"]] = room, text

    def _asks(self, connection: http.client.HTTPConnection, verb: str, path: str, body: dict[str, Any]) -> Any:
        headers = {"authorization": f"Bearer {self.who.token}", "content-type": "application/json"}
        try:
            connection.request(verb, f"/_matrix/client/v3/{quote(path, safe='/!:@')}", json.dumps(body), headers)
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException):
            raise Gone from None
        assert answer.status == 200, (verb, path, raw)
        return json.loads(raw)
