import pytest

from tests.keys.town import Town


@pytest.fixture
def town(engine: str) -> Town:
    return Town(engine)
