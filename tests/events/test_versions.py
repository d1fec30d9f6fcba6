"""Room versions are values: what each adds, and that one more is one line."""

from dataclasses import replace

import pytest

from homeserver.events import versions
from homeserver.events.errors import Denied, UnknownVersion
from homeserver.events.versions import VERSIONS
from tests.events.rooms import ALICE, BOB, Room, resolve

# flag -> the versions in which it holds.  spec: rooms#feature-matrix
SINCE = {
    "hashed_ids": range(3, 13),
    "strict_json": range(6, 13),
    "redacts_in_content": range(11, 13),
    "room_id_is_create_hash": range(12, 13),
    "creator_in_content": range(1, 11),
    "privileged_creators": range(12, 13),
    "aliases_rule": range(1, 6),
    "redaction_rule": range(1, 3),
    "guards_notification_levels": range(6, 13),
    "integer_power_levels": range(10, 13),
    "knocking": range(7, 13),
    "restricted_joins": range(8, 13),
    "knock_restricted": range(10, 13),
    "enforces_key_validity": range(5, 13),
    "stable": range(1, 13),
}
STABLE = [version for version in VERSIONS.values() if version.id.isdecimal()]


@pytest.mark.parametrize("flag", SINCE)
def test_what_holds_in_which_version(flag):
    assert {int(version.id) for version in STABLE if getattr(version, flag)} == set(SINCE[flag])


def test_resolution_and_ids_by_version():
    assert [version.resolution for version in STABLE] == ["1", *["2"] * 10, "2.1"]
    assert [version.event_ids for version in STABLE] == ["given", "given", "base64", *["urlsafe"] * 9]
    assert versions.get(versions.DEFAULT).id == "12"


@pytest.mark.parametrize("unknown", ["", "0", "13", "org.example", " 1", None, 12, [], {}])
def test_unknown_versions(unknown):
    with pytest.raises(UnknownVersion):
        versions.get(unknown)


def test_a_version_of_our_own_is_one_line(monkeypatch):
    ours = replace(versions.V12, id="org.example.quiet", stable=False, knocking=False)
    monkeypatch.setitem(VERSIONS, ours.id, ours)
    room = Room(ours.id).settled()
    room.join(BOB)
    other = room.fork()
    room.name(ALICE, "a")
    other.ban(ALICE, BOB)
    assert resolve(room, other)["m.room.member", BOB].version is ours


def test_in_ephemeral_rooms_there_is_state_and_no_message():
    room = Room(versions.EPHEMERAL.id).settled()
    room.join(BOB)
    room.name(ALICE, "a")
    with pytest.raises(Denied):
        room.send(BOB, "m.room.encrypted", {})
