"""The grammar of identifiers.  spec: appendices#identifier-grammar"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.errors import Malformed
from homeserver.events.identifiers import EventID, RoomAlias, RoomID, ServerName, UserID

SERVERS = {
    "matrix.org": ("matrix.org", None, False),
    "matrix.org:8888": ("matrix.org", 8888, False),
    "1.2.3.4": ("1.2.3.4", None, True),
    "1.2.3.4:1234": ("1.2.3.4", 1234, True),
    "[1234:5678::abcd]": ("[1234:5678::abcd]", None, True),
    "[1234:5678::abcd]:5678": ("[1234:5678::abcd]", 5678, True),
    "localhost": ("localhost", None, False),
    "MATRIX.ORG": ("MATRIX.ORG", None, False),
}


@pytest.mark.parametrize("text", SERVERS)
def test_server_names_of_the_specification(text):
    server = ServerName.parse(text)
    assert (server.host, server.port, server.is_ip_literal) == SERVERS[text]
    assert server == text


@pytest.mark.parametrize(
    "text",
    [
        "", ":80", "a b", "a/b", "a_b", "a:port", "a:123456", "a:99999", "a:", "[::1", "::1", "[zz::]", "999.1.1.1", "a\n", "é.org",
        "a" * 256, None, 5, b"a", "user@a", "a?b", "a#b", "a%2e", "[1:2]",
    ],
)
def test_what_is_no_server_name(text):
    with pytest.raises(Malformed):
        ServerName.parse(text)


def test_user_ids():
    user = UserID.parse("@alice:example.org:8448")
    assert (user.localpart, user.domain) == ("alice", "example.org:8448")
    assert isinstance(user.domain, ServerName)


@pytest.mark.parametrize("text", ["@:a.org", "@Alice:a.org", "@ä ö\n:a.org", "@a@b:a.org", "@" + "x" * 248 + ":a.org"])
def test_historical_user_ids_are_read_and_never_made(text):
    assert UserID.parse(text) == text
    if text != "@" + "x" * 248 + ":a.org":
        with pytest.raises(Malformed):
            UserID.parse_new(text)


@pytest.mark.parametrize("text", ["@a.b_c=d-e/f+0:a.org"])
def test_new_user_ids(text):
    assert UserID.parse_new(text).is_compliant


@pytest.mark.parametrize("text", ["@:a.org", "@ü:a.org", "@a b:a.org"])
def test_user_ids_that_are_not_shown_outside_events(text):
    assert not UserID.parse(text).is_compliant


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "alice:a.org", "@alice", "@alice:", "@a:b c", "!a:b.org", "@\0:a.org", "@\ud800:a.org", "@" + "x" * 249 + ":a.org",
        "@" + "é" * 125 + ":a.org", None, ["@a:b"], {"a": 1}, 7, True,
    ],
)
def test_what_is_no_user_id(text):
    with pytest.raises(Malformed):
        UserID.parse(text)


def test_room_ids_of_both_forms():
    assert RoomID.parse("!abc:example.org").domain == "example.org"
    assert RoomID.parse("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM").domain is None


@pytest.mark.parametrize("text", ["!", "", "#a:b", "!a:", "!a:b/c", "!\0:b", "!" + "x" * 255, None])
def test_what_is_no_room_id(text):
    with pytest.raises(Malformed):
        RoomID.parse(text)


def test_event_ids_of_all_forms():
    assert EventID.parse("$given:example.org").domain == "example.org"
    assert EventID.parse("$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk").domain is None


@pytest.mark.parametrize("text", ["$", "", "a", "$\0", "$\udfff", "$" + "x" * 255, None, 3])
def test_what_is_no_event_id(text):
    with pytest.raises(Malformed):
        EventID.parse(text)


def test_aliases():
    alias = RoomAlias.parse("#Ünser Raum!:example.org")
    assert (alias.localpart, alias.domain) == ("Ünser Raum!", "example.org")


@pytest.mark.parametrize("text", ["#:a.org", "#a", "a:b.org", "#a:", "#a\0:b.org", "#" + "x" * 250 + ":a.org"])
def test_what_is_no_alias(text):
    with pytest.raises(Malformed):
        RoomAlias.parse(text)


@given(st.text(), st.sampled_from([ServerName, UserID, RoomID, EventID, RoomAlias]))
def test_text_is_either_taken_as_it_is_or_refused(text, kind):
    try:
        parsed = kind.parse(text)
    except Malformed:
        return
    assert parsed == text and len(text.encode()) <= 255 and "\0" not in text


@given(st.text(), st.sampled_from([ServerName, UserID, RoomID, EventID, RoomAlias]))
def test_properties_never_fail_even_on_unparsed_text(text, kind):
    name = kind(text)
    for attribute in ("localpart", "domain", "host", "port", "is_ip_literal", "is_compliant"):
        getattr(name, attribute, None)
