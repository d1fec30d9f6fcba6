"""Events for the tests of push rules, without a room around them."""

from typing import Any

import orjson

from homeserver.events import versions
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.push.conditions import Occasion

ROOM, ALICE, BOB = RoomID("!room:a"), UserID("@alice:a"), UserID("@bob:a")


def event(
    kind: str = "m.room.message", content: dict[str, Any] | None = None, *, sender: str = ALICE, state_key: str | None = None
) -> Event:
    """An event as it would be read from the database."""
    content = {"msgtype": "m.text", "body": "hello"} if content is None else content
    body = {"type": kind, "content": content, "sender": sender, "origin_server_ts": 1}
    if state_key is not None:
        body["state_key"] = state_key
    return Event(
        versions.get("11"), EventID("$e"), ROOM, kind, UserID(sender), state_key, content, 1, 1, (), (), orjson.dumps(body), b"{}"
    )  # fmt: skip


def occasion(happened: Event, members: int = 3, power: bool = True) -> Occasion:
    """The event in a room of `members`."""
    return Occasion(happened, members, lambda _key: power)
