"""Thumbnails: the right size, never larger than the picture, and no file that costs more than it should."""

import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from homeserver.media import pictures, sizes
from homeserver.media.pictures import Job
from tests.media.rig import Got, Network, Server, bomb, moving, now, picture


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server("a.example", tmp_path, Network(), max_pixels=1_000_000)


def seen(got: Got) -> Image.Image:
    assert got.status == 200, got
    image = Image.open(BytesIO(got.body))
    image.load()
    return image


def test_scaling_keeps_the_shape(server: Server) -> None:
    got = server.thumbnail(server.upload(picture(1000, 500)), 320, 240)
    assert seen(got).size == (320, 160)
    assert got.headers["content-type"] == "image/png"
    assert got.headers["content-disposition"] == "inline; filename=thumbnail.png"


def test_cropping_keeps_the_middle(server: Server) -> None:
    image = seen(server.thumbnail(server.upload(picture(1000, 500)), 96, 96, "crop")).convert("RGB")
    assert image.size == (96, 96)
    assert image.getpixel((5, 50)) == (255, 0, 0) and image.getpixel((90, 50)) == (0, 0, 255)


@given(some.integers(1, 3000), some.integers(1, 3000), some.sampled_from(["scale", "crop"]))
def test_what_is_made_is_no_smaller_than_asked_for(width: int, height: int, method: str) -> None:
    made = sizes.snap(width, height, method)
    limit = (800, 600) if method == "scale" else (800, 800)
    if width <= limit[0] and height <= limit[1]:
        assert made[0] >= width and made[1] >= height
    assert made[0] <= 800 and made[1] <= 800


def test_there_are_few_sizes() -> None:
    for method, most in (("scale", 5), ("crop", 200)):
        assert len({sizes.snap(width, height, method) for width in range(1, 900, 7) for height in range(1, 900, 7)}) <= most


@given(some.integers(1, 60), some.integers(1, 60), some.integers(1, 60), some.integers(1, 60), some.sampled_from(["scale", "crop"]))
def test_a_picture_is_never_blown_up(width: int, height: int, wide: int, high: int, method: str) -> None:
    made = pictures.paint(BytesIO(picture(width, height)), Job(wide, high, method, False, 10_000))
    assert made.width <= max(1, width) and made.height <= max(1, height)
    assert made.content is None or (made.width <= wide and made.height <= high)


def test_a_small_picture_is_its_own_thumbnail_under_its_true_type(server: Server) -> None:
    small = picture(20, 20)
    got = server.thumbnail(server.upload(small, "text/html"), 32, 32)
    assert got.body == small and got.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("format", "mode", "kind"),
    [("JPEG", "RGB", "image/jpeg"), ("PNG", "RGBA", "image/png"), ("WEBP", "RGBA", "image/png"), ("WEBP", "RGB", "image/jpeg"),
     ("GIF", "RGB", "image/png"), ("PNG", "L", "image/png"), ("PNG", "1", "image/png"), ("JPEG", "CMYK", "image/jpeg")],
)  # fmt: skip
def test_formats(server: Server, format: str, mode: str, kind: str) -> None:
    got = server.thumbnail(server.upload(picture(400, 400, format, mode)), 32, 32)
    assert got.headers["content-type"] == kind and seen(got).size == (32, 32)


def test_a_camera_held_sideways(server: Server) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter
    image = seen(server.thumbnail(server.upload(picture(400, 200, "JPEG", exif=exif.tobytes())), 320, 240))
    assert image.size == (120, 240)
    assert not image.getexif()


def test_where_a_picture_was_taken_is_not_told(server: Server) -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    got = server.thumbnail(server.upload(picture(400, 200, "JPEG", exif=exif.tobytes(), comment=b"at home")), 96, 96)
    assert b"at home" not in got.body


def test_a_moving_picture_stands_still_unless_it_is_asked_to_move(server: Server) -> None:
    uri = server.upload(moving(200, 200, 5))
    for more in ("", "&animated=false"):
        assert getattr(seen(server.thumbnail(uri, 32, 32, more=more)), "n_frames", 1) == 1
    got = server.thumbnail(uri, 32, 32, more="&animated=true")
    assert got.headers["content-type"] == "image/webp" and seen(got).n_frames == 5  # type: ignore[attr-defined]


def test_a_small_moving_picture_stands_still_too(server: Server) -> None:
    uri = server.upload(moving(20, 20, 3))
    assert getattr(seen(server.thumbnail(uri, 32, 32)), "n_frames", 1) == 1
    assert server.thumbnail(uri, 32, 32, more="&animated=true").headers["content-type"] == "image/gif"


def test_a_film_is_shown_as_its_first_frame(server: Server) -> None:
    uri = server.upload(moving(2, 2, pictures.MAX_FRAMES + 5))
    assert getattr(seen(server.thumbnail(uri, 32, 32, more="&animated=true")), "n_frames", 1) == 1


def test_a_thumbnail_is_made_once_for_all_copies_of_a_picture(engine: str, tmp_path: Path) -> None:
    server = Server("a.example", tmp_path, Network(), engine)
    one, two = (server.upload(picture(300, 300)) for _ in range(2))
    first = server.thumbnail(one, 30, 30)
    assert server.thumbnail(two, 32, 32).body == first.body
    assert server.workshop.jobs == ["thumbnail"]


def test_a_few_bytes_that_would_be_gigabytes(server: Server) -> None:
    uri = server.upload(bomb(60_000, 60_000))
    for _ in range(2):
        assert server.thumbnail(uri, 32, 32).error == (413, "M_TOO_LARGE")
    assert server.workshop.jobs == ["thumbnail"]  # not tried again


def test_the_limit_counts_pixels_not_sides(server: Server) -> None:
    assert server.thumbnail(server.upload(picture(1000, 1000)), 32, 32).status == 200
    assert server.thumbnail(server.upload(picture(1001, 1000)), 32, 32).error == (413, "M_TOO_LARGE")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just text",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"%PDF-1.4",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"II*\0\x08\0\0\0",
        b"BM" + bytes(60),
        b"\x89PNG\r\n\x1a\n",
        picture(100, 100)[:80],
        picture(100, 100, "JPEG")[:300],
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(40),
        b"GIF89a" + struct.pack("<HH", 9, 9) + b"\xff" * 30,
    ],
)
def test_what_is_no_picture_has_no_thumbnail(server: Server, content: bytes) -> None:
    assert server.thumbnail(server.upload(content, "image/png"), 32, 32).error == (400, "M_UNKNOWN")


@given(some.binary(max_size=60), some.integers(0, 200), some.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]))
def test_a_damaged_picture_is_a_refusal_at_worst(noise: bytes, at: int, format: str) -> None:
    content = bytearray(picture(40, 40, format))
    content[at : at + len(noise)] = noise
    with suppress(pictures.NotPicture, pictures.TooManyPixels):
        pictures.paint(BytesIO(bytes(content)), Job(32, 32, "scale", False, 10_000))


@pytest.mark.parametrize("query", ["width=0&height=5", "width=-1&height=5", "width=a&height=5", "width=9&height=9&method=melt", "width=9"])
def test_a_size_that_makes_no_sense(server: Server, query: str) -> None:
    assert server.ask("GET", f"/_matrix/client/v1/media/thumbnail/{server.upload(picture(9, 9))}?{query}").status == 400


def test_a_thumbnail_needs_a_token_even_before_it_makes_sense(server: Server) -> None:
    assert server.ask("GET", "/_matrix/client/v1/media/thumbnail/a.example/abc", user="").error == (401, "M_MISSING_TOKEN")


def test_askers_at_the_same_time_share_the_work(server: Server) -> None:
    uri = server.upload(picture(300, 300))
    path = f"/_matrix/client/v1/media/thumbnail/{uri}?width=32&height=32"
    assert {now(server.begin("GET", path, user)).status for user in ("alice", "bob")} == {200}
    assert server.workshop.jobs == ["thumbnail"]
