"""The examples do what they say, with a server as it is started, and with two."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.real import processes
from tests.real.processes import Program
from tests.real.sides import person

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = "a long password"


@pytest.fixture(scope="module")
def other(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A second server of ours."""
    with processes.homeserver(tmp_path_factory.mktemp("other"), authority) as program:
        yield program


def told(example: str, *servers: Program) -> str:
    """What an example says, with a new Alice on the first server and a new Bob on the last."""
    people = [person(servers[0], "alice"), person(servers[-1], "bob")]
    command = [sys.executable, str(EXAMPLES / example), *(server.url for server in servers), *(f"{one.name}:{PASSWORD}" for one in people)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_key_of_a_room_gets_to_who_asks(ours: Program, other: Program) -> None:
    for servers in ((ours,), (ours, other)):
        assert "has the key; waiting at the server: []" in told("room_keys.py", *servers)


def test_what_is_said_in_an_ephemeral_room_is_heard_and_not_kept(ours: Program, other: Program) -> None:
    for servers in ((ours,), (ours, other)):
        assert told("ephemeral.py", *servers).endswith(": This is written nowhere.\nin the history: 0\n")


def test_two_admins_of_a_swarm_keep_somebody_out(ours: Program, other: Program) -> None:
    for servers in ((ours,), (ours, other)):
        assert told("swarm.py", *servers).endswith("votes: 2 of 2\nEve stays out\n")
