"""The processes that read strangers' pictures: bounded, and no loss when one dies.  Real processes."""

import os
import signal
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from homeserver.errors import LimitExceeded
from homeserver.media import workshop
from homeserver.media.workshop import Bench, Failed, Processes
from tests.media.rig import bomb, inline, moving, picture, run

JOB = {"width": 32, "height": 32, "method": "scale", "animated": False, "max_pixels": 100_000_000}


@pytest.fixture
def processes() -> Iterator[Processes]:
    found = Processes(inline)
    yield found
    found.close()


def thumbnail(processes: Processes, content: bytes, **changes: Any) -> tuple[dict[str, Any], bytes]:
    answer: tuple[dict[str, Any], bytes] = run(processes.do({"kind": "thumbnail", "job": JOB | changes}, content))
    return answer


def test_one_process_does_job_after_job(processes: Processes, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(picture(300, 300))
    head, content = run(processes.do({"kind": "thumbnail", "path": str(path), "job": JOB}))
    assert head["type"] == "image/png" and Image.open(BytesIO(content)).size == (32, 32)
    assert thumbnail(processes, b"no picture")[0]["error"] == "unreadable"
    page = {"kind": "page", "type": "text/html", "url": "http://a/"}
    assert run(processes.do(page, b"<title>t</title>"))[0]["properties"] == {"og:title": "t"}
    assert len(processes._free) == 1


def test_a_large_job_passes_through_the_pipe(processes: Processes) -> None:
    assert run(processes.do({"kind": "page", "type": "text/html", "url": "http://a/"}, b" " * (1 << 20)))[0] == {"properties": {}}


def test_a_process_that_dies_costs_one_job(processes: Processes) -> None:
    thumbnail(processes, picture(9, 9))
    os.kill(processes._free[0].pid, signal.SIGKILL)
    with pytest.raises(Failed):
        thumbnail(processes, picture(9, 9))
    assert thumbnail(processes, picture(9, 9))[0]["original"]


def test_a_picture_that_wants_too_much_memory_gets_none(processes: Processes) -> None:
    assert thumbnail(processes, bomb(30_000, 30_000), max_pixels=10**9)[0]["error"] == "unreadable"
    assert thumbnail(processes, picture(9, 9))[0]["original"]


def test_a_moving_thumbnail(processes: Processes) -> None:
    head, content = thumbnail(processes, moving(64, 64, 10), animated=True)
    assert head["type"] == "image/webp" and Image.open(BytesIO(content)).n_frames == 10  # type: ignore[attr-defined]


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    os.kill(bench.pid, signal.SIGSTOP)
    monkeypatch.setattr(workshop, "WALL_SECONDS", 0.1)
    with pytest.raises(Failed):
        bench.do({"kind": "page", "type": "", "url": ""}, b"")
    assert bench._process.returncode is not None


def test_the_process_cannot_write_and_holds_few_files(processes: Processes) -> None:
    thumbnail(processes, picture(9, 9))
    limits = Path(f"/proc/{processes._free[0].pid}/limits").read_text()
    found = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert (found["Max file size"], found["Max open files"], found["Max core file size"]) == ("0", "32", "0")
    assert int(found["Max address space"]) == 1 << 30 and int(found["Max cpu time"]) < 30
    environment = Path(f"/proc/{processes._free[0].pid}/environ").read_text()
    names = {entry.partition("=")[0] for entry in environment.split("\0") if entry}
    assert names <= {"PYTHONPATH", "PATH", "LANG", "MALLOC_ARENA_MAX", "LC_CTYPE"}


def test_too_many_waiting_jobs_are_refused(processes: Processes) -> None:
    processes._turns.waiting.extend([None] * workshop.WAITING)  # type: ignore[list-item]
    with pytest.raises(LimitExceeded):
        run(processes.do({"kind": "page"}))
    processes._turns.waiting.clear()
