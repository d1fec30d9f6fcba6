"""Typing begins, ends, times out, and is told to those in the room only."""

from typing import Any

import pytest

from homeserver.errors import Forbidden
from homeserver.events.identifiers import ServerName
from homeserver.presence.typing import Typing
from tests.push.house import NAME, House, now, user
from tests.receipts.test_setting import Sent


class Room(House):
    """A house where people type."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent = Sent()
        self.typing = Typing(self.database, self.clock, NAME, self.sent, lambda txn, room, server: server != "banned")
        self.joins("bob")

    def types(self, name: str, typing: bool = True, timeout: int | None = None) -> None:
        now(self.typing.set(user(name), self.room, typing, timeout))

    def since(self, serial: int) -> dict[str, list[str]]:
        return self.typing.since(serial, [self.room, "!other:a"])


@pytest.fixture
def room(engine: str) -> Any:
    made = Room(engine)
    yield made
    made.close()


def test_who_types_is_shown_until_they_stop(room: Room) -> None:
    start = room.typing.serial
    room.types("alice", timeout=10_000)
    assert room.since(start) == {room.room: [user("alice")]}
    middle = room.typing.serial
    room.types("alice", timeout=10_000)
    assert room.since(middle) == {}, "saying it again is no news"
    room.types("alice", False)
    assert room.since(middle) == {room.room: []}
    assert room.since(0) == {}, "who is new need not hear that nobody types"


def test_typing_ends_by_itself(room: Room) -> None:
    room.types("alice", timeout=10_000)
    serial = room.typing.serial
    room.reactor.advance(9)
    assert room.since(serial) == {}
    room.reactor.advance(2)
    assert room.since(serial) == {room.room: []}


def test_no_timeout_is_forever(room: Room) -> None:
    for timeout in (0, -5, None, 10**12):
        room.types("alice", timeout=timeout)
        room.reactor.advance(121)
        assert not any(room.since(0).values())


def test_the_waiting_are_woken(room: Room) -> None:
    with room.database.wakeups.watch([room.room]) as watch:
        room.types("alice")
        assert watch.fired


def test_only_members_type(room: Room) -> None:
    with pytest.raises(Forbidden):
        room.types("carol")
    now(room.typing.receive(ServerName("b"), {"room_id": room.room, "user_id": "@carol:b", "typing": True}))
    now(room.typing.receive(ServerName("b"), {"room_id": room.room, "user_id": user("bob"), "typing": True}))
    now(room.typing.receive(ServerName("b"), {"room_id": 5, "user_id": None}))
    assert room.since(0) == {}
    now(room.typing.receive(NAME, {"room_id": room.room, "user_id": user("bob"), "typing": True}))
    assert room.since(0) == {room.room: [user("bob")]}


def test_memory_is_given_back(room: Room) -> None:
    room.types("alice")
    room.types("alice", False)
    room.reactor.advance(601)
    assert room.typing._rooms == {}
    assert room.typing._typists == {}
