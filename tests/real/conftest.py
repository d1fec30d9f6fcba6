"""What these stories share: an authority, this server, another one, nio clients.  All of them are slow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.real import processes
from tests.real.processes import Program
from tests.real.sides import Sides
from tests.real.synapse import synapse as run_synapse

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Believed by every server here."""
    return Authority()


@pytest.fixture(scope="session")
def ours(engine: str, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """This server; what breaks it belongs into a server of its own."""
    with processes.homeserver(tmp_path_factory.mktemp("ours"), authority, engine) as program:
        yield program


@pytest.fixture(scope="session")
def synapse(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A Synapse."""
    with run_synapse(tmp_path_factory.mktemp("synapse"), authority) as program:
        yield program


@pytest.fixture(params=["we are host", "synapse is host"])
def sides(request: pytest.FixtureRequest, ours: Program, synapse: Program) -> Sides:
    """Alice's server, where the room is, and Bob's; each story is told twice, with either of them ours."""
    return Sides(ours, synapse) if request.param == "we are host" else Sides(synapse, ours)
