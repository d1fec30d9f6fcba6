"""Two processes on one PostgreSQL database hand out the keys of one device at the same time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.storage import devices, one_time_keys, to_device
from homeserver.storage.database import Database
from homeserver.storage.devices import Device
from homeserver.storage.one_time_keys import Key, Stock
from homeserver.storage.opening import open_database
from tests import databases
from tests.storage.notes import Loop

ALICE, KEYS = "@alice:a", 60
PHONE = (ALICE, "PHONE")


@pytest.fixture
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Loop, Database, Database]]:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    with databases.migrated("postgres", tmp_path) as address:
        loop = Loop()
        one, other = open_database(address, loop), open_database(address, loop)
        yield loop, one, other
        one.close()
        other.close()


def test_no_key_is_handed_out_twice_and_none_is_withheld(pair: tuple[Loop, Database, Database]) -> None:
    loop, one, other = pair
    keys = [Key("signed_curve25519", f"{number:03}", b"{}") for number in range(KEYS)]
    loop.run(one.write(devices.add, Device(*PHONE)), one.write(one_time_keys.add, ALICE, "PHONE", Stock({}, 0, None), keys))
    claims = [
        database.write(one_time_keys.claim, "signed_curve25519", [PHONE])
        for _ in range(KEYS // 2 + 5)
        for database in (one, other)
    ]
    taken = [found[PHONE].key_id for found in loop.run(*claims) if found]
    assert sorted(taken) == [key.key_id for key in keys]


def test_messages_are_numbered_without_gaps_that_a_reader_could_miss(pair: tuple[Loop, Database, Database]) -> None:
    loop, one, other = pair
    sent = [
        database.write(to_device.deliver, f"@{index}:a", {PHONE: b'{"n":%d}' % number}, 1)
        for number in range(30)
        for index, database in enumerate((one, other))
    ]
    loop.run(*sent)
    messages, last = loop.run(one.read(to_device.waiting, ALICE, "PHONE"))[0]
    assert (len(messages), last) == (60, 60)
