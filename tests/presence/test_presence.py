"""Who is online: what devices say, what time does, what others hear."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import Forbidden, InvalidParam
from homeserver.events.identifiers import ServerName
from homeserver.presence.presence import Policy, Presence
from homeserver.presence.state import STATES, Device, Local
from tests.push.house import NAME, House, now, user
from tests.receipts.test_setting import Sent


class Town(House):
    """A house whose people come and go."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent = Sent()
        self.presence = Presence(self.database, self.clock, NAME, self.sent)
        self.joins("bob")

    def sees(self, viewer: str, serial: int = 0, rooms: Any = ()) -> dict[str, Any]:
        events = now(self.database.read(self.presence.since, user(viewer), serial, rooms))
        return {event["sender"]: event["content"] for event in events}


@pytest.fixture
def town(engine: str) -> Any:
    made = Town(engine)
    yield made
    made.close()


def test_a_status_is_seen_by_those_who_share_a_room(town: Town) -> None:
    start = town.presence.serial
    town.presence.put(user("alice"), "D", "online", "hello")
    seen = town.sees("bob", start)[user("alice")]
    assert seen == {"presence": "online", "status_msg": "hello", "currently_active": True, "last_active_ago": 0}
    assert town.sees("carol", start) == {}
    assert now(town.presence.of_user(user("bob"), user("alice"))) == seen
    with pytest.raises(Forbidden):
        now(town.presence.of_user(user("carol"), user("alice")))
    assert now(town.presence.of_user(user("carol"), user("carol"))) == {"presence": "offline"}


def test_time_makes_idle_and_offline(town: Town) -> None:
    for minute in range(7):
        town.presence.seen(user("alice"), "D")
        town.reactor.pump([5] * 10)
        state = now(town.presence.of_user(user("bob"), user("alice")))
        assert state["presence"] == ("online" if minute < 5 else "unavailable")
        assert state.get("currently_active", False) is (minute < 1)
    town.reactor.pump([5] * 30)
    assert now(town.presence.of_user(user("bob"), user("alice")))["presence"] == "offline"
    town.presence.active(user("alice"))
    assert now(town.presence.of_user(user("bob"), user("alice")))["presence"] == "offline"
    town.presence.seen(user("alice"), "D")
    assert now(town.presence.of_user(user("bob"), user("alice")))["presence"] == "online"


def test_polling_does_not_end_being_busy(town: Town) -> None:
    town.presence.put(user("alice"), "D", "busy", None)
    town.presence.seen(user("alice"), "D")
    town.presence.active(user("alice"))
    assert now(town.presence.of_user(user("bob"), user("alice")))["presence"] == "busy"
    town.presence.seen(user("alice"), "D", "unavailable")
    assert now(town.presence.of_user(user("bob"), user("alice")))["presence"] == "unavailable"


def test_a_poll_that_wants_not_to_be_noticed_is_not(town: Town) -> None:
    start = town.presence.serial
    town.presence.seen(user("alice"), "D", "offline")
    assert town.sees("bob", start) == {}


def test_many_changes_are_told_as_one(town: Town) -> None:
    with town.database.wakeups.watch([town.room]) as watch:
        for number in range(50):
            town.presence.put(user("alice"), "D", "online", str(number))
        assert not watch.fired
        town.reactor.advance(1)
        assert watch.fired


def test_what_may_not_be_said(town: Town) -> None:
    with pytest.raises(InvalidParam):
        town.presence.put(user("alice"), "D", "asleep", None)
    with pytest.raises(InvalidParam):
        town.presence.put(user("alice"), "D", "online", "x" * 2000)


def test_who_comes_to_a_room_is_told_of_and_hears_of_those_there(town: Town) -> None:
    town.presence.put(user("alice"), "A", "online", None)
    town.presence.put(user("carol"), "C", "online", None)
    serial = town.presence.serial
    town.joins("carol")
    town.presence.joined(user("carol"))
    assert set(town.sees("alice", serial)) == {user("carol")}
    assert set(town.sees("carol", serial, [town.room])) == {user("alice"), user("carol")}


def test_switched_off_nobody_sees_anything(town: Town) -> None:
    off = Presence(town.database, town.clock, NAME, town.sent, Policy(enabled=False))
    off.put(user("alice"), "D", "online", None)
    now(off.receive(ServerName("b"), {"push": [{"user_id": "@x:b", "presence": "online"}]}))
    assert now(town.database.read(off.since, user("bob"), 0)) == []


def elsewhere(town: Town) -> None:
    def put(txn: Any) -> None:
        for who in ("@zoe:b", "@bad:c"):
            txn.run(
                "INSERT INTO members (room_id, user_id, membership, sender, num, event_id, position, server, local, forgotten)"
                " VALUES (:room, :user, 'join', :user, 0, '$j', 0, :server, 0, 0)",
                room=town.room, user=who, server=who[-1],
            )  # fmt: skip
        txn.run("INSERT INTO room_servers (room_id, server, joined) VALUES (:room, 'b', 1)", room=town.room)

    now(town.database.write(put))


def test_users_elsewhere_are_as_their_own_server_says(town: Town) -> None:
    elsewhere(town)
    update = {"user_id": "@zoe:b", "presence": "online", "last_active_ago": 3000, "currently_active": True, "status_msg": "hi"}
    stranger, other = {**update, "user_id": "@stranger:b"}, {**update, "user_id": "@bad:c"}
    now(town.presence.receive(ServerName("b"), {"push": [update, stranger, other, 5, {"presence": "x"}, {}]}))
    shown = {"presence": "online", "last_active_ago": 3000, "currently_active": True, "status_msg": "hi"}
    assert town.sees("bob") == {"@zoe:b": shown}
    town.reactor.pump([60] * 32)
    assert town.sees("bob", town.presence.serial - 1)["@zoe:b"]["presence"] == "offline"
    town.reactor.pump([60] * 40)
    assert town.presence._known == {}


def test_servers_that_share_rooms_are_told_without_a_storm(town: Town) -> None:
    elsewhere(town)
    for _ in range(20):
        town.presence.seen(user("alice"), "D")
        town.presence.active(user("alice"))
        town.reactor.advance(5)
    assert [(servers, kind) for servers, kind, _ in town.sent.edus] == [({"b"}, "m.presence")]
    assert town.sent.edus[0][2]["push"][0]["user_id"] == user("alice")
    town.presence.put(user("alice"), "D", "unavailable", None)
    town.reactor.advance(1)
    assert len(town.sent.edus) == 2


DEVICES = st.dictionaries(st.text(max_size=2), st.tuples(st.sampled_from(sorted(STATES)), st.integers(0, 100)), max_size=4)


@given(DEVICES, st.integers(0, 100))
def test_a_user_is_what_their_most_present_device_says(devices: dict[str, tuple[str, int]], time: int) -> None:
    local = Local({name: Device(presence, until) for name, (presence, until) in devices.items()}, last_active=time)
    order = ["offline", "unavailable", "online", "busy"]
    expected = max((order.index(presence) for presence, until in devices.values() if until > time), default=0)
    assert local.state(time).presence == order[expected]
