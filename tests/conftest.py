"""What all tests share: `engine` and `database` run a test once on SQLite and once on PostgreSQL."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from homeserver.storage.database import Database
from tests import databases

# How fast the machine is says nothing about the laws that are tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=databases.ENGINES, default=None, help="run the tests of databases on this one only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--engine")
        metafunc.parametrize("engine", [chosen] if chosen else list(databases.ENGINES), scope="session")


@pytest.fixture
def database(engine: str) -> Iterator[Database]:
    """A fresh, migrated database without threads."""
    yield databases.fresh(engine)
    databases.close_all()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    databases.close_all()
