"""Patterns agree with their definition, take linear time, and are found by their keyword."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.push import globs
from tests.bounded import ends

TEXT = st.text(alphabet="ab_ A!é?*", max_size=12)
PATTERN = st.text(alphabet="ab *?!é", min_size=1, max_size=6)


def _regex(pattern: str) -> str:
    return "".join({"*": "(?s:.*)", "?": "(?s:.)"}.get(character, re.escape(character)) for character in pattern.lower())


def _is_boundary(text: str, at: int) -> bool:
    return at in (0, len(text)) or not (re.match("[a-z0-9_]", text[at - 1]) and re.match("[a-z0-9_]", text[at]))


@given(PATTERN, TEXT)
def test_a_whole_match_is_what_the_definition_says(pattern: str, text: str) -> None:
    assert globs.compiled(pattern).is_whole(text) == bool(re.fullmatch(_regex(pattern), text.lower()))


@given(PATTERN, TEXT)
def test_a_match_within_is_some_part_between_boundaries(pattern: str, text: str) -> None:
    low = text.lower()
    ends = [at for at in range(len(low) + 1) if _is_boundary(low, at)]
    expected = any(re.fullmatch(_regex(pattern), low[start:end]) for start in ends for end in ends if start <= end)
    assert globs.compiled(pattern).is_within(text) == expected


@given(PATTERN, TEXT)
def test_a_text_that_matches_has_the_keywords_among_its_words(pattern: str, text: str) -> None:
    found = globs.keywords(pattern)
    if found is not None and globs.compiled(pattern).is_within(text):
        assert {*found} - {""} <= {*globs.words(text, 1000)}


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("ex*ple", "An example event.", True),
        ("ex*ple", "exple", True),
        ("ex*ple", "An exciting triple-whammy", True),
        ("alice", "alices", False),
        ("alice", "@Alice: look", True),
        ("日本", "私は日本人です", True),
        ("@room", "hey @room!", True),
        ("@room", "me@rooms", False),
    ],
)
def test_examples(pattern: str, text: str, expected: bool) -> None:
    assert globs.compiled(pattern).is_within(text) is expected


def test_keywords_stand_free_of_wildcards() -> None:
    assert globs.keywords("cake*lie") is None
    assert globs.keywords("cake *lie and tea") == ("cake", "and")
    assert globs.keywords("日本") == ("日", "本")
    assert globs.keywords("alice") == ("alice", "")


def test_no_text_makes_a_pattern_slow() -> None:
    text = "a" * 60_000 + "!"
    with ends():
        for pattern in ("*a" * 120 + "*b", "a*" * 100 + "c", "?a" * 60 + "*b", "a" * 250 + "b"):
            globs.compiled(pattern).is_within(text)
            globs.compiled(pattern).is_whole(text)
