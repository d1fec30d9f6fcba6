"""Canonical JSON against the examples of the specification and against the reference implementation."""

import json

import pytest
from canonicaljson import encode_canonical_json
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events import canonical
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import UserID

EXAMPLES = [
    ("{}", "{}"),
    ('{"one": 1, "two": "Two"}', '{"one":1,"two":"Two"}'),
    ('{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'),
    ('{"b":"2","a":"1"}', '{"a":"1","b":"2"}'),
    (
        '{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {"display_name": "John Doe", "three_pids": ['
        '{"medium": "email", "address": "john.doe@example.org"}, {"medium": "msisdn", "address": "123456789"}]}}}',
        '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":'
        '"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}',
    ),
    ('{"a": "日本語"}', '{"a":"日本語"}'),
    ('{"本": 2, "日": 1}', '{"日":1,"本":2}'),
    ('{"a": "\\u65E5"}', '{"a":"日"}'),
    ('{"a": null}', '{"a":null}'),
    ('{"a": -0}', '{"a":0}'),
]

text = st.text()
strict_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=20,
)
lenient_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=20,
)


@pytest.mark.parametrize(("raw", "expected"), EXAMPLES)
def test_examples_of_the_specification(raw, expected):
    assert canonical.encode(canonical.decode(raw.encode(), strict=True)) == expected.encode()


@given(strict_values)
def test_strict_bytes_are_those_of_the_reference(value):
    assert canonical.encode(value) == encode_canonical_json(value)


@given(lenient_values)
def test_lenient_bytes_are_those_of_the_reference(value):
    assert canonical.encode(value, strict=False) == encode_canonical_json(value)


@given(lenient_values)
def test_lenient_values_come_back_digit_by_digit(value):
    raw = canonical.encode(value, strict=False)
    assert canonical.encode(canonical.decode(raw, strict=False), strict=False) == raw


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        2**53, -(2**53), 2**64, 1.0, 1e10, float("nan"), float("inf"), [0.5], {"a": {"b": [2**53]}}, deep(300), deep(100_000),
        "\ud800", {"\udfff": 1}, {1: 2}, {"a": b"bytes"}, {"a": {1, 2}}, object(),
    ],
)
def test_what_canonical_json_cannot_say(value):
    with pytest.raises(Malformed):
        canonical.encode(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1: 2}, b"bytes", deep(300)])
def test_what_no_json_can_say(value):
    with pytest.raises(Malformed):
        canonical.encode(value, strict=False)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"nul", b"NaN", b"[1e999]", b"\xff", b'"\xff"', b'"\\ud800"', b"[" * 100_000, b"{}x", b"'a'", b"[1,]", b"\xef\xbb\xbf{}",
        b"1.0", b"1e3", b"[9007199254740992]", b"[-9007199254740992]", b"[99999999999999999999]", b"[" * 300 + b"]" * 300,
    ],
)
def test_what_is_not_read_strictly(raw):
    with pytest.raises(Malformed):
        canonical.decode(raw)


@pytest.mark.parametrize("raw", [b"[" + b"9" * 10_000 + b"]", b"NaN", b"[Infinity]", b"[1e999]", b"[" * 100_000, b'"\\ud800"'])
def test_what_is_not_read_at_all(raw):
    with pytest.raises(Malformed):
        canonical.decode(raw, strict=False)


def test_identifiers_may_be_keys_and_values():
    assert canonical.encode({UserID("@b:x"): UserID("@a:x")}) == b'{"@b:x":"@a:x"}'


def test_keys_are_sorted_by_code_point_not_by_utf16():
    value = {"\U00010000": 1, "\uffff": 2}
    assert list(json.loads(canonical.encode(value))) == ["\uffff", "\U00010000"]
