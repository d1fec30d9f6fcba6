"""Previews of links: what a page says about itself, and nothing that a hostile page would like to happen."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from homeserver.federation.transport import Stream
from homeserver.media import opengraph
from homeserver.media.previews import ANSWER_MS, MAX_PAGE, normal
from tests.bounded import ends
from tests.media.rig import Got, Network, Server, bomb, page, picture, pieces

GET = "/_matrix/client/v1/media/preview_url?url="
PAGE = b"""<!doctype html><html prefix="og: http://ogp.me/ns#"><head><title>The Rock (1996)</title>
<meta property="og:title" content="The Rock"><meta property="og:type" content="video.movie" />
<meta property="og:url" content="http://www.imdb.com/title/tt0117500/"><meta property="og:image" content="test.png">
<meta property="og:image:width" content="9999"><meta property="og:video" content="https://tracker.example/v"></head><body></body></html>"""


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server("a.example", tmp_path, Network(), url_previews=True)


def see(server: Server, url: str) -> Got:
    return server.ask("GET", GET + url)


def site(answers: dict[str, tuple[str, bytes]]) -> object:
    def answer(path: str) -> Stream:
        kind, content = answers.get(path, ("text/html", b""))
        return Stream(200 if path in answers else 404, {"content-type": kind}, pieces(content))

    return answer


def test_a_page_with_a_picture(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine, url_previews=True)
    image = picture(279, 129)
    server.network.sites["web.example"] = site({"/t.html": ("text/html", PAGE), "/test.png": ("image/png", image)})  # type: ignore[assignment]
    found = see(server, "https://web.example/t.html").json
    uri = found.pop("og:image")
    assert found == {
        "og:title": "The Rock",
        "og:type": "video.movie",
        "og:url": "http://www.imdb.com/title/tt0117500/",
        "og:image:type": "image/png",
        "og:image:width": 279,
        "og:image:height": 129,
        "matrix:image:size": len(image),
    }
    assert server.download(uri.removeprefix("mxc://")).body == image


def test_a_page_is_fetched_once_an_hour(server: Server) -> None:
    server.network.sites["web.example"] = page(200, b"<title>t</title>", content_type="text/html")
    for fragment in ("", "#a", "#b"):
        assert see(server, "https://web.example/%23".removesuffix("%23") + fragment.replace("#", "%23")).json == {"og:title": "t"}
    assert len(server.network.asked) == 1
    server.reactor.advance(ANSWER_MS / 1000 + 1)
    see(server, "https://web.example/")
    assert len(server.network.asked) == 2


def test_a_picture_is_its_own_preview(server: Server) -> None:
    server.network.sites["web.example"] = page(200, picture(5, 6, "JPEG"), content_type="image/jpeg")
    assert see(server, "https://web.example/x").json["og:image:height"] == 6


@pytest.mark.parametrize("content", [b"<svg/>", bomb(60_000, 60_000), b"\xff\xd8\xff", b""])
def test_a_picture_that_is_none_is_left_out(server: Server, content: bytes) -> None:
    server.network.sites["web.example"] = site({"/": ("text/html", PAGE), "/test.png": ("image/png", content)})  # type: ignore[assignment]
    assert "og:image" not in see(server, "https://web.example/").json


@pytest.mark.parametrize("url", ["", "ftp://a/b", "file:///etc/passwd", "http://", "javascript:alert(1)", "https://user:pass@a/", "http://a:b/",
                                 "https://a/" + "x" * 2000, "http://[::1", "https://a/%0d%0aHost:%20b", "gopher://a"])  # fmt: skip
def test_what_is_no_link_on_the_web(server: Server, url: str) -> None:
    got = see(server, url)
    assert got.status == 400 and server.network.asked == []


def test_each_redirect_is_a_request_of_its_own_that_the_guard_sees(server: Server) -> None:
    server.network.sites["web.example"] = page(302, b"", location="/else")
    assert see(server, "https://web.example/").error == (502, "M_UNKNOWN")
    assert 2 < len(server.network.asked) < 10
    server.network.sites["down.example"] = page(302, b"", location="http://169.254.169.254/latest/")
    assert see(server, "https://down.example/").error == (502, "M_UNKNOWN")
    server.network.sites["file.example"] = page(302, b"", location="file:///etc/passwd")
    assert see(server, "http://file.example/").status == 502


def test_what_is_no_page_has_no_properties(server: Server) -> None:
    server.network.sites["web.example"] = page(200, b"PK\3\4", content_type="application/zip")
    assert see(server, "https://web.example/").json == {}
    server.network.sites["gone.example"] = page(404, b"<title>no</title>", content_type="text/html")
    assert see(server, "https://gone.example/").error == (502, "M_UNKNOWN")
    assert see(server, "https://nowhere.example/").error == (502, "M_UNKNOWN")


def test_a_page_without_end_is_read_to_a_point(server: Server) -> None:
    server.network.sites["web.example"] = page(200, b"<title>t</title>" + b"<p>" * MAX_PAGE, content_type="text/html")
    assert see(server, "https://web.example/").json == {"og:title": "t"}


def test_previews_are_off_unless_they_are_on(tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network())
    assert see(server, "https://web.example/").error == (404, "M_UNRECOGNIZED")


def test_a_link_needs_a_user(server: Server) -> None:
    assert server.ask("GET", GET + "https://web.example/", user="").error == (401, "M_MISSING_TOKEN")
    assert server.ask("GET", "/_matrix/client/v1/media/preview_url").error == (400, "M_MISSING_PARAM")


def test_names_of_hosts_are_compared_without_case_and_in_ascii() -> None:
    assert normal("HTTPS://Web.Example/A#frag") == "https://web.example/A"
    assert normal("https://bücher.example/ä") == "https://xn--bcher-kva.example/ä"


def read(text: str, kind: str = "text/html") -> dict[str, str]:
    return opengraph.read(text.encode(), kind, "https://web.example/a/b")


def test_a_page_that_says_little_is_read_for_what_it_is() -> None:
    prose = "This is the first paragraph, which is long enough to say what the page is about."
    head = "<title> A\n title </title><link rel='icon' href='/i.png'>"
    found = read(f"{head}<nav><p>{prose[::-1]}</nav><p>Hi<p>{prose}<script>{prose}</script>")
    assert found == {"og:title": "A title", "og:description": prose, "og:image": "https://web.example/i.png"}


def test_what_was_meant_for_others_serves_us() -> None:
    meta = {"twitter:title": "T", "Description": "D", "twitter:image": "//c.example/i"}
    found = read("".join(f'<meta name="{name}" content="{content}">' for name, content in meta.items()))
    assert found == {"og:title": "T", "og:description": "D", "og:image": "https://c.example/i"}


@pytest.mark.parametrize("image", ["javascript:alert(1)", "data:image/png;base64,AAAA", "file:///etc/passwd", "http://[", "mailto:a@b"])
def test_an_image_is_on_the_web(image: str) -> None:
    assert "og:image" not in read(f'<meta property="og:image" content="{image}">')


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("<title>é</title>".encode("latin-1"), "text/html; charset=latin-1"),
        ("<meta charset=latin-1><title>é</title>".encode("latin-1"), "text/html"),
        ("<title>é</title>".encode("utf-16"), "text/html; charset=utf-16"),
        ("<title>é</title>".encode(), "text/html; charset=no-such-thing"),
        ("<title>é</title>".encode(), "text/html; charset=hex"),
    ],
)
def test_old_encodings(raw: bytes, kind: str) -> None:
    assert opengraph.read(raw, kind, "https://web.example/")["og:title"] == "é"


def test_a_page_cannot_flood_us() -> None:
    flood = "".join(f'<meta property="og:x{number}" content="{"y " * 5000}">' for number in range(200)).replace("og:x", "og:x_")
    flood += "".join(f'<meta property="og:{chr(97 + a)}{chr(97 + b)}" content="{"y " * 5000}">' for a in range(26) for b in range(26))
    found = read(flood)
    assert len(found) <= opengraph.MAX_PROPERTIES + 3
    assert all(len(value) <= opengraph.MAX_VALUE for value in found.values())


@pytest.mark.parametrize(
    "unit",
    ["<p>", "<div><nav>", "</nav>", "<a b='", "&amp", "<!--", "<![", "<meta ", "\0", "<title>", "&#x110000;", "<svg>", "<a b = ", "<a ",
     "<script>", "<nav></p>", "<", "</", "&", "<title", "<a =", " ", "<meta property=og:title content=", "</title <title>"],
)  # fmt: skip
def test_no_markup_takes_long(unit: str) -> None:
    page = (unit * (MAX_PAGE // len(unit))).encode()
    with ends():
        opengraph.read(page, "text/html", "https://web.example/")


@given(some.text("<>/!-[]=\"' abcmetaogtitle:&;#x0\n\0", max_size=200))
def test_whatever_the_page_properties_are_text(text: str) -> None:
    assert all(isinstance(value, str) and value.isprintable() for value in read("<p>" + text).values())
