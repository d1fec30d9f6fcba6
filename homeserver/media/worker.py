"""The process in which strangers' pictures and pages are read.  Knows the server only as a pipe.

It limits itself before it reads the first job: memory, no writing of files, few open files, and processor time for each job.
It ends when the pipe does.
"""

import io
import json
import resource
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from homeserver.media import opengraph, pictures
from homeserver.media.pipe import LENGTHS, pack

MEMORY = 1 << 30
CPU_SECONDS = 20


def _source(job: dict[str, Any], content: bytes) -> BinaryIO:
    return open(job["path"], "rb") if "path" in job else io.BytesIO(content)


def _answer(picture: pictures.Picture) -> tuple[dict[str, Any], bytes]:
    head = {"type": picture.content_type, "width": picture.width, "height": picture.height, "original": picture.content is None}
    return head, picture.content or b""


def _thumbnail(job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    with _source(job, content) as file:
        return _answer(pictures.paint(file, pictures.Job(**job["job"])))


def _measure(job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    with _source(job, content) as file:
        return _answer(pictures.measure(file, job["max_pixels"]))


def _page(job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    return {"properties": opengraph.read(content, job["type"], job["url"])}, b""


KINDS: dict[str, Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]] = {
    "thumbnail": _thumbnail,
    "measure": _measure,
    "page": _page,
}


def perform(job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    """Do one job; what is wrong with its material is an answer with the key `error`."""
    try:
        return KINDS[job["kind"]](job, content)
    except pictures.TooManyPixels as error:
        return {"error": "too_large", "sentence": str(error)}, b""
    except (pictures.NotPicture, MemoryError) as error:
        return {"error": "unreadable", "sentence": str(error)}, b""


def confine() -> None:
    """Give up what this process does not need."""
    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def _limit_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, resource.RLIM_INFINITY))


def main() -> None:
    """Do jobs until there are no more."""
    confine()
    pipe_in, pipe_out = sys.stdin.buffer, sys.stdout.buffer
    while len(lengths := pipe_in.read(LENGTHS.size)) == LENGTHS.size:
        head_size, content_size = LENGTHS.unpack(lengths)
        job, content = json.loads(pipe_in.read(head_size)), pipe_in.read(content_size)
        _limit_time()
        pipe_out.write(pack(*perform(job, content)))
        pipe_out.flush()


if __name__ == "__main__":
    main()
