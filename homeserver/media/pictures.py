"""Pictures: what format they really are, and making thumbnails of them.  Pure; runs in a worker process.

The bytes come from strangers.  Only formats in `MAGIC` are ever given to a decoder, and to that decoder alone; what a header announces is
counted before a pixel is decoded.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import GifImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

__all__ = ["MAGIC", "Job", "NotPicture", "Picture", "TooManyPixels", "measure", "paint", "sniff"]

_PLUGINS = (GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)
ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # ours is checked as soon as the header is read: `_opened`

MAX_SIDE = 32_767
MAX_FRAMES = 250
MAX_ANIMATED_PIXELS = 40_000_000  # of all frames of a thumbnail: they are in memory together


class NotPicture(ValueError):
    """No picture that a thumbnail can be made of."""


class TooManyPixels(ValueError):
    """A picture too large to be decoded."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format we decode: Pillow's name and the content type."""

    name: str
    content_type: str


MAGIC = (
    (b"\x89PNG\r\n\x1a\n", 0, Format("PNG", "image/png")),
    (b"\xff\xd8\xff", 0, Format("JPEG", "image/jpeg")),
    (b"GIF87a", 0, Format("GIF", "image/gif")),
    (b"GIF89a", 0, Format("GIF", "image/gif")),
    (b"WEBP", 8, Format("WEBP", "image/webp")),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A thumbnail to make."""

    width: int
    height: int
    method: str
    animated: bool
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail.  `content` is None when the original is small enough to be shown itself."""

    content_type: str
    width: int
    height: int
    content: bytes | None


def sniff(head: bytes) -> Format | None:
    """The format of a file that begins so; what its uploader called it does not count."""
    for magic, offset, format in MAGIC:
        if head[offset : offset + len(magic)] == magic and (format.name != "WEBP" or head.startswith(b"RIFF")):
            return format
    return None


def _opened(file: BinaryIO, max_pixels: int) -> tuple[Image.Image, Format]:
    head = file.read(16)
    file.seek(0)
    format = sniff(head)
    if format is None:
        raise NotPicture("not a picture in a format that thumbnails are made of")
    image = Image.open(file, formats=[format.name])
    width, height = image.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise TooManyPixels(f"a picture of {width} x {height} pixels")
    return image, format


def measure(file: BinaryIO, max_pixels: int) -> Picture:
    """Format and size of a picture, from its header alone; raises `NotPicture`, `TooManyPixels`."""
    try:
        image, format = _opened(file, max_pixels)
    except (TooManyPixels, NotPicture):
        raise
    except Exception as error:
        raise NotPicture(f"broken: {type(error).__name__}") from None
    return Picture(format.content_type, image.width, image.height, None)


def paint(file: BinaryIO, job: Job) -> Picture:
    """The thumbnail; raises `NotPicture`, `TooManyPixels`."""
    try:
        return _painted(file, job)
    except (TooManyPixels, NotPicture):
        raise
    except Exception as error:
        # Decoders raise what they like for broken files: SyntaxError, struct.error, IndexError, ...
        raise NotPicture(f"broken: {type(error).__name__}") from None


def _painted(file: BinaryIO, job: Job) -> Picture:
    image, format = _opened(file, job.max_pixels)
    moving = getattr(image, "is_animated", False)
    if not moving or not job.animated:
        return _still(image, format, job, moving)
    frames = int(getattr(image, "n_frames", 1))
    too_long = frames > MAX_FRAMES or frames * image.width * image.height > 8 * job.max_pixels
    if too_long or frames * job.width * job.height > MAX_ANIMATED_PIXELS:
        return _still(image, format, job, moving)
    return _moving(image, format, job)


def _fits(size: tuple[int, int], job: Job) -> bool:
    return size[0] <= job.width and size[1] <= job.height


def _still(image: Image.Image, format: Format, job: Job, moving: bool) -> Picture:
    if _fits(image.size, job) and not moving:
        return Picture(format.content_type, *image.size, None)
    if format.name == "JPEG":
        image.draft("RGB", (2 * job.width, 2 * job.height))  # decodes at a fraction of the size
    image.seek(0)
    image.load()
    small = _resized(_plain(ImageOps.exif_transpose(image)), job)
    out = io.BytesIO()
    if small.mode == "RGB" and format.name in ("JPEG", "WEBP"):
        small.save(out, "JPEG", quality=82, optimize=True, progressive=True)
        return Picture("image/jpeg", *small.size, out.getvalue())
    small.save(out, "PNG", compress_level=7)
    return Picture("image/png", *small.size, out.getvalue())


def _plain(image: Image.Image) -> Image.Image:
    """In a mode that can be resized smoothly, without palette, profile and metadata."""
    see_through = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    mode = "RGBA" if see_through else "L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB"
    plain = image if image.mode == mode else image.convert(mode)
    plain.info = {}
    return plain.convert("RGB") if mode == "L" else plain


def _resized(image: Image.Image, job: Job) -> Image.Image:
    """Never larger than it was."""
    if job.method == "crop":
        return _cropped(image, job)
    ratio = min(job.width / image.width, job.height / image.height, 1.0)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _cropped(image: Image.Image, job: Job) -> Image.Image:
    """The middle of the picture in the shape of the job; of a picture smaller than that, as much as there is."""
    ratio = min(image.width / job.width, image.height / job.height)
    cut = (max(1, round(job.width * ratio)), max(1, round(job.height * ratio)))
    left, top = (image.width - cut[0]) // 2, (image.height - cut[1]) // 2
    box = (left, top, left + cut[0], top + cut[1])
    size = (job.width, job.height) if ratio > 1 else cut
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)


def _moving(image: Image.Image, format: Format, job: Job) -> Picture:
    if _fits(image.size, job):
        return Picture(format.content_type, *image.size, None)
    durations: list[int] = []
    frames = _frames(image, job, durations)
    first = next(frames)
    rest = list(frames)
    out = io.BytesIO()
    loop = int(image.info.get("loop", 0))
    first.save(out, "WEBP", save_all=True, append_images=rest, duration=durations, loop=loop, quality=70, method=2)
    return Picture("image/webp", *first.size, out.getvalue())


def _frames(image: Image.Image, job: Job, durations: list[int]) -> Iterator[Image.Image]:
    for number in range(int(getattr(image, "n_frames", 1))):
        image.seek(number)
        image.load()
        durations.append(min(60_000, max(20, int(image.info.get("duration", 100) or 100))))
        yield _resized(image.convert("RGBA"), job)
