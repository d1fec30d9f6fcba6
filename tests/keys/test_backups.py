"""Key backups: the better key wins, only the current version takes keys, counts and etags tell what happened."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import Refused
from homeserver.events.identifiers import UserID
from homeserver.keys import backups
from homeserver.keys.backups import Place
from homeserver.storage.key_backup import Session
from tests.keys.town import Town

ALICE = UserID("@alice:a")


def key(first: int = 0, forwarded: int = 0, verified: bool = False, data: str = "x") -> dict[str, Any]:
    return {"first_message_index": first, "forwarded_count": forwarded, "is_verified": verified, "session_data": {"data": data}}


class Safe:
    """Alice's backups."""

    def __init__(self, town: Town) -> None:
        house = town.server("a")
        self.backups, self.result = house.backups, house.result

    def begins(self) -> str:
        return str(self.result(self.backups.create(ALICE, "m.megolm_backup.v1", {"public_key": "k"})))

    def puts(self, version: str, rooms: dict[str, Any]) -> tuple[int, str]:
        wanted = {"rooms": {room: {"sessions": sessions} for room, sessions in rooms.items()}}
        counted = self.result(self.backups.put(ALICE, version, backups.read_rooms(wanted)))
        return counted["count"], counted["etag"]

    def holds(self, version: str) -> dict[str, dict[str, Any]]:
        async def collect() -> bytes:
            return b"".join([piece async for piece in await self.backups.rooms(Place(ALICE, version))])

        rooms = orjson.loads(self.result(collect()))["rooms"]
        return {room: found["sessions"] for room, found in rooms.items()}

    def removes(self, version: str, *place: str) -> tuple[int, str]:
        counted = self.result(self.backups.remove(Place(ALICE, version, *place)))
        return counted["count"], counted["etag"]


@pytest.fixture
def safe(town: Town) -> Safe:
    return Safe(town)


KEYS = st.builds(Session, st.just("!r:a"), st.just("s"), st.integers(0, 3), st.integers(0, 3), st.booleans(), st.just(b"{}"))


@given(KEYS, KEYS, KEYS)
def test_better_is_an_order(a: Session, b: Session, c: Session) -> None:
    assert not backups.better(a, a)
    assert not (backups.better(a, b) and backups.better(b, a))
    assert backups.better(a, c) or not (backups.better(a, b) and backups.better(b, c))
    if a.is_verified and not b.is_verified:
        assert backups.better(a, b)


def test_the_better_key_is_kept_whatever_the_order(safe: Safe) -> None:
    version = safe.begins()
    best = key(2, 1, verified=True, data="best")
    worse = [key(1, 0), key(3, 1, verified=True), key(2, 2, verified=True), key(2, 1, verified=True)]
    safe.puts(version, {"!r:a": {"s": worse[0]}})
    assert safe.puts(version, {"!r:a": {"s": best}}) == (1, "2")
    for one in worse:
        assert safe.puts(version, {"!r:a": {"s": one}}) == (1, "2")
    assert safe.holds(version) == {"!r:a": {"s": best}}


def test_keys_at_three_levels(safe: Safe) -> None:
    version = safe.begins()
    assert safe.puts(version, {"!r:a": {"s1": key(), "s2": key()}, "!q:a": {"s1": key()}, "!p:a": {"s1": key()}}) == (4, "1")
    assert orjson.loads(safe.result(safe.backups.session(Place(ALICE, version, "!r:a", "s1")))) == key()
    assert orjson.loads(safe.result(safe.backups.room(Place(ALICE, version, "!r:a")))) == {"sessions": {"s1": key(), "s2": key()}}
    assert orjson.loads(safe.result(safe.backups.room(Place(ALICE, version, "!none:a")))) == {"sessions": {}}
    assert safe.removes(version, "!r:a", "s1") == (3, "2")
    assert safe.removes(version, "!r:a", "s1") == (3, "2")
    assert safe.removes(version, "!r:a") == (2, "3")
    with pytest.raises(Refused) as refused:
        safe.result(safe.backups.session(Place(ALICE, version, "!r:a", "s2")))
    assert refused.value.status == 404
    assert safe.removes(version) == (0, "4")
    assert safe.holds(version) == {}


def test_a_large_backup_is_read_in_pieces(safe: Safe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "PAGE", 3)
    version = safe.begins()
    rooms = {f"!{room}:a": {f"s{number}": key(number) for number in range(room)} for room in range(1, 6)}
    safe.puts(version, rooms)
    assert safe.holds(version) == rooms


def test_only_the_current_version_takes_keys(safe: Safe) -> None:
    with pytest.raises(Refused) as refused:
        safe.puts("1", {})
    assert refused.value.status == 404
    first, second = safe.begins(), safe.begins()
    with pytest.raises(Refused) as refused:
        safe.puts(first, {"!r:a": {"s": key()}})
    error = refused.value
    assert (error.status, error.errcode, error.extra) == (403, "M_WRONG_ROOM_KEYS_VERSION", {"current_version": second})
    safe.result(safe.backups.delete(ALICE, second))
    assert safe.puts(first, {"!r:a": {"s": key()}}) == (1, "1")


def test_versions_are_described_changed_and_deleted_and_never_numbered_again(safe: Safe) -> None:
    version = safe.begins()
    described = safe.result(safe.backups.describe(ALICE))
    assert orjson.loads(described.pop("auth_data")) == {"public_key": "k"}
    assert described == {"algorithm": "m.megolm_backup.v1", "count": 0, "etag": "0", "version": version}
    safe.result(safe.backups.redescribe(ALICE, version, "m.megolm_backup.v1", {"public_key": "other"}))
    assert b"other" in safe.result(safe.backups.describe(ALICE, version))["auth_data"]
    with pytest.raises(Refused) as refused:
        safe.result(safe.backups.redescribe(ALICE, version, "another", {}))
    assert refused.value.errcode == "M_INVALID_PARAM"
    for _ in range(2):
        safe.result(safe.backups.delete(ALICE, version))
    assert safe.begins() != version
    for missing in ("77", "x", "", "-1", "9" * 40):
        for act in (safe.backups.describe(ALICE, missing), safe.backups.delete(ALICE, missing)):
            with pytest.raises(Refused) as refused:
                safe.result(act)
            assert refused.value.status == 404


def test_backups_of_others_are_not_there(safe: Safe) -> None:
    version = safe.begins()
    safe.puts(version, {"!r:a": {"s": key()}})
    with pytest.raises(Refused) as refused:
        safe.result(safe.backups.room(Place(UserID("@eve:a"), version, "!r:a")))
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_message_index": -1},
        {"first_message_index": 1.0},
        {"first_message_index": True},
        {"forwarded_count": "1"},
        {"forwarded_count": 2**60},
        {"is_verified": 1},
        {"session_data": "text"},
        {"session_data": {"data": "x" * 40_000}},
        {"session_data": {"half": 0.5}},
    ],
)
def test_malformed_keys_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Refused):
        backups.read_session("!r:a", "s", {**key(), **wrong})


@pytest.mark.parametrize("rooms", [None, [], {"!r:a": {}}, {"!r:a": {"sessions": 1}}, {"!r:a": {"sessions": {"s": 1}}}])
def test_malformed_requests_are_refused(rooms: object) -> None:
    with pytest.raises(Refused):
        backups.read_rooms({"rooms": rooms})


def test_two_hundred_sessions_take_few_statements(safe: Safe) -> None:
    version = safe.begins()
    database = safe.backups.database
    before = database.counts.statements
    safe.puts(version, {"!r:a": {f"s{number}": key() for number in range(200)}})
    assert database.counts.statements - before <= 10
