"""Who may take part in a room."""

import re
from fnmatch import translate

from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.identifiers import ServerName
from homeserver.events.server_acl import ServerACL, ServerGlobs
from tests.bounded import ends

texts = st.text("ab.*?", max_size=12)


@given(texts, st.text("ab.", max_size=12))
def test_patterns_mean_what_a_regular_expression_means(pattern: str, text: str) -> None:
    assert ServerGlobs([pattern]).match(text) == bool(re.match(translate(pattern), text))


def test_no_pattern_is_slow() -> None:
    with ends():
        assert not ServerGlobs(["*a" * 100 + "b"]).match("a" * 255)
        assert not ServerGlobs(["?*" * 120 + "b"]).match("a" * 255)


def permits(server: str, **content: object) -> bool:
    return ServerACL.of(content).permits(ServerName(server))


def test_denial_beats_permission_and_nothing_else_gets_in() -> None:
    assert permits("good.example:8448", allow=["*"], deny=["evil.example"])
    assert not permits("EVIL.example:1", allow=["*"], deny=["*.example"])
    assert not permits("other.org", allow=["*.example"])
    assert not permits("x.example", allow="*") and not permits("x.example")


def test_addresses_are_kept_out_on_request_only() -> None:
    for address in ("1.2.3.4", "1.2.3.4:5", "[::1]", "[::1]:5"):
        assert permits(address, allow=["*"]) and permits(address, allow=["*"], allow_ip_literals="no")
        assert not permits(address, allow=["*"], allow_ip_literals=False)
