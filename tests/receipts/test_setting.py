"""Receipts: they move forward only, stay private where they are, and reach those who share the room."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.receipts import reading
from homeserver.receipts.setting import Marker, Receipts
from homeserver.storage import account_data
from homeserver.storage.receipts import Receipt
from tests.push.house import NAME, Count, House, now, user


class Sent:
    """What was sent to other servers."""

    def __init__(self) -> None:
        self.edus: list[tuple[set[str], str, Any]] = []

    def send(self, servers: Any, edu_type: str, content: Any, key: str) -> None:
        self.edus.append((set(servers), edu_type, content))


class Reading(House):
    """A house whose people send receipts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent = Sent()
        self.receipts = Receipts(self.database, self.clock, NAME, self.sent, lambda txn, room, server: server != "banned")
        self.joins("bob")

    def marks(self, name: str, event_id: str, kind: str = "m.read", thread: str = "") -> None:
        now(self.receipts.set(Marker(user(name), self.room, kind, EventID(event_id), thread)))

    def shown(self, viewer: str, ignored: frozenset[str] = reading.NOBODY) -> reading.Content:
        return now(self.database.read(reading.everything, user(viewer), [self.room], ignored)).get(self.room, {})

    def changed(self, viewer: str, since: Any) -> reading.Content:
        ranges = since.ranges(self.database.now())
        return now(self.database.read(reading.changed, user(viewer), [self.room], ranges)).get(self.room, {})


@pytest.fixture
def house(engine: str) -> Iterator[Reading]:
    made = Reading(engine)
    yield made
    made.close()


def test_a_receipt_is_shown_and_clears_what_is_unread(house: Reading) -> None:
    said = house.says("alice")
    assert house.total("bob") == Count(1, 0)
    since = house.database.now()
    house.marks("bob", said)
    assert house.total("bob") == Count(0, 0)
    assert set(house.changed("alice", since)[said]["m.read"][user("bob")]) == {"ts"}
    assert house.changed("alice", house.database.now()) == {}


def test_private_receipts_clear_counts_and_are_seen_by_nobody_else(house: Reading) -> None:
    said = house.says("alice")
    house.marks("bob", said, "m.read.private")
    assert house.total("bob") == Count(0, 0)
    assert said in house.shown("bob")
    assert house.shown("alice") == {}
    assert house.sent.edus == []


def test_receipts_never_move_back(house: Reading) -> None:
    first, second = house.says("alice"), house.says("alice")
    house.marks("bob", second)
    house.marks("bob", first)
    assert list(house.shown("alice")) == [second]
    assert house.total("bob") == Count(0, 0)


def test_a_public_receipt_behind_the_private_one_moves_and_counts_stay(house: Reading) -> None:
    first, second = house.says("alice"), house.says("alice")
    house.marks("bob", second, "m.read.private")
    house.marks("bob", first)
    assert list(house.shown("alice")) == [first]
    assert house.total("bob") == Count(0, 0)


def test_the_unthreaded_receipt_is_preferred(house: Reading) -> None:
    root = house.says("alice")
    reply = house.says("alice", thread=root)
    house.marks("bob", reply)
    house.marks("bob", reply, thread=root)
    assert "thread_id" not in house.shown("alice")[reply]["m.read"][user("bob")]
    assert len(house.sent.edus) == 2


def test_receipts_have_to_fit(house: Reading) -> None:
    root, other = house.says("alice"), house.says("alice")
    reply = house.says("alice", thread=root)
    for event, thread in [(other, root), (reply, "main"), (reply, other)]:
        with pytest.raises(InvalidParam):
            house.marks("bob", event, thread=thread)
    house.marks("bob", root, thread=root)
    house.marks("bob", root, thread="main")
    with pytest.raises(NotFound):
        house.marks("bob", "$nothing")
    with pytest.raises(InvalidParam):
        house.marks("bob", root, "m.seen")
    with pytest.raises(InvalidParam):
        house.marks("bob", root, "m.fully_read", "main")
    with pytest.raises(Forbidden):
        house.marks("carol", root)


def test_the_fully_read_marker_is_account_data_and_moves_forward(house: Reading) -> None:
    first, second = house.says("alice"), house.says("alice")
    for event in (second, first):
        house.marks("bob", event, "m.fully_read")
    kept = now(house.database.read(account_data.get, user("bob"), house.room, "m.fully_read"))
    assert second in kept.decode()
    assert house.total("bob") == Count(2, 0)


def test_the_ignored_have_no_receipts(house: Reading) -> None:
    house.marks("bob", house.says("alice"))
    assert house.shown("alice", frozenset({user("bob")})) == {}


def remote(room: str, who: str, event: Any, **data: Any) -> dict[str, Any]:
    return {room: {"m.read": {who: {"event_ids": [event], "data": {"ts": 5, **data}}}}}


def test_other_servers_speak_for_their_own_users_in_the_room(house: Reading) -> None:
    said = house.says("alice")
    carol = "@carol:b"

    def put(txn: Any) -> None:
        txn.run(
            "INSERT INTO members (room_id, user_id, membership, sender, num, event_id, position, server, local, forgotten)"
            " VALUES (:room, :user, 'join', :user, 0, '$j', 0, 'b', 0, 0)",
            room=house.room, user=carol,
        )  # fmt: skip

    for origin, content in [
        ("b", remote(house.room, carol, said)),
        ("c", remote(house.room, carol, said)),
    ]:
        now(house.receipts.receive(ServerName(origin), content))
    assert house.shown("alice") == {}, "she is not in the room"
    now(house.database.write(put))
    now(house.receipts.receive(ServerName("c"), remote(house.room, carol, said)))
    assert house.shown("alice") == {}, "c does not speak for her"
    now(house.receipts.receive(ServerName("b"), remote(house.room, carol, said, thread_id="main")))
    assert house.shown("alice")[said]["m.read"][carol] == {"ts": 5, "thread_id": "main"}
    now(house.receipts.receive(ServerName("b"), remote(house.room, carol, "$not_here_yet")))
    assert "$not_here_yet" not in house.shown("alice"), "it is kept until the event is here"
    assert said in house.shown("alice")


@pytest.mark.parametrize(
    "content",
    [
        {"!r:a": 5},
        {"!r:a": {"m.read": []}},
        {"!r:a": {"m.read": {"@x:b": 5}}},
        {"!r:a": {"m.read": {"@x:b": {"event_ids": "$x"}}}},
        {"!r:a": {"m.read": {"@x:b": {"event_ids": ["$x", "$y"], "data": {"ts": 1}}}}},
        {"!r:a": {"m.read": {"@x:b": {"event_ids": [5], "data": {"ts": 1}}}}},
        {"!r:a": {"m.read": {"@x:b": {"event_ids": ["$x"], "data": {"ts": True}}}}},
        {"!r:a": {"m.read": {"nobody": {"event_ids": ["$x"], "data": {"ts": 1}}}}},
        {"room": {"m.read": {"@x:b": {"event_ids": ["$x"], "data": {"ts": 1}}}}},
        {"!r:a": {"m.read": {"@x:b": {"event_ids": ["$x"], "data": {"ts": 1, "thread_id": "x"}}}}},
    ],
)
def test_nonsense_from_other_servers_is_passed_over(house: Reading, content: Any) -> None:
    now(house.receipts.receive(ServerName("b"), content))


ORDERS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["", "main"]), st.sampled_from(["m.read", "m.read.private"])), max_size=8)


@given(ORDERS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_furthest_receipt_wins_in_any_order(steps: list[tuple[int, str, str]]) -> None:
    house = Reading()
    ids = [house.says("alice") for _ in range(5)]
    for index, thread, kind in steps:
        house.marks("bob", ids[index], kind, thread)
    assert house.total("bob").notifications == 4 - max((step[0] for step in steps), default=-1)
    house.close()


def test_rendering_is_by_room_event_type_and_user() -> None:
    found = [Receipt("!r", "@a:a", "m.read", "main", "$e", (1, 0), 7), Receipt("!r", "@a:a", "m.read", "", "$e", (1, 0), 8)]
    expected = {"!r": {"$e": {"m.read": {"@a:a": {"ts": 8}}}}}
    assert reading.contents(found, reading.NOBODY) == expected
    assert reading.contents(reversed(found), reading.NOBODY) == expected
    assert RoomID("!r") in expected
