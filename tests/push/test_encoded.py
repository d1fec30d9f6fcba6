"""The rules of who changed nothing are encoded once for all users; to each they say their own name."""

import orjson
import pytest

from homeserver.push import editing
from homeserver.push.rules import NO_RULES


@pytest.mark.parametrize("user", ["@alice:a", "@%name%:a", '@"x\\é:a', f"{editing.ANYBODY}"])
def test_the_rules_that_nobody_changed_are_those_of_each(user: str) -> None:
    assert orjson.loads(editing.encoded(None, user)) == NO_RULES.shown(user)
    assert orjson.loads(editing.encoded(NO_RULES.dump(), user)) == NO_RULES.shown(user)
