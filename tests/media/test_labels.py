"""Content types and file names from strangers end up in headers that say what they should and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from homeserver.events.errors import Malformed
from homeserver.media import labels
from homeserver.media.uri import MXC, MediaID


@pytest.mark.parametrize("name", ["ascii", "name with spaces", "name;with;semicolons", "🐔", "☕.png", 'say "hi".txt', "100%25 sure.txt"])
def test_a_file_name_survives_the_way_to_another_server(name: str) -> None:
    assert labels.filename_of(labels.disposition("image/png", name)) == name


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\system.ini", "system.ini"),
        ("..", None),
        ("a\r\nSet-Cookie: b=c", "aSet-Cookie: b=c"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\x00", None),
        ("x" * 999, "x" * 255),
    ],
)
def test_a_file_name_is_a_name_and_not_a_path(sent: str, kept: str | None) -> None:
    assert labels.filename(sent) == kept


@given(some.text(), some.text())
def test_no_header_can_be_split(kind: str, name: str) -> None:
    header = labels.disposition(labels.content_type(kind), name) + labels.served_type(labels.content_type(kind))
    assert header.isascii() and header.isprintable()


@given(some.text())
def test_a_name_that_was_kept_once_is_kept_again(name: str) -> None:
    once = labels.filename(name)
    assert labels.filename(once) == once


@given(some.text())
def test_whatever_another_server_writes_there_is_an_answer(header: str) -> None:
    labels.filename_of(header)


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "TEXT/HTML; x=image/png", "none", "image/png\nx"])
def test_what_may_run_scripts_is_an_attachment(kind: str) -> None:
    assert labels.disposition(labels.content_type(kind), "a.png").startswith("attachment")


@pytest.mark.parametrize("kind", ["image/png", "Text/Plain; charset=utf-8", "video/mp4"])
def test_what_cannot_is_shown(kind: str) -> None:
    assert labels.disposition(kind, None) == "inline"


def test_text_says_its_charset_so_that_no_browser_guesses_another() -> None:
    assert labels.served_type("text/plain") == "text/plain; charset=UTF-8"
    assert labels.served_type("text/plain; charset=latin1") == "text/plain; charset=latin1"
    assert labels.served_type("img/png") == "img/png"


@pytest.mark.parametrize("text", ["..", "a/b", "a%2fb", "", "é", "a.b", "a b", "a\n", "a" * 256, "\u0661"])
def test_a_media_id_cannot_be_a_path(text: str) -> None:
    with pytest.raises(Malformed):
        MediaID.parse(text)


@pytest.mark.parametrize("text", ["http://a/b", "mxc://a", "mxc:///b", "mxc://a/../b", "mxc://a/b/c", "mxc://a b/c"])
def test_what_is_no_uri(text: str) -> None:
    with pytest.raises(Malformed):
        MXC.parse(text)


def test_what_is() -> None:
    assert str(MXC.parse("mxc://example.org:8448/abc_-9")) == "mxc://example.org:8448/abc_-9"
