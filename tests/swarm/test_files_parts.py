"""A file on its way to the disk: taken up where it was, hashed as it comes, nothing counted that was not written."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from homeserver.swarm.files import parts
from homeserver.swarm.files.naming import continues
from homeserver.swarm.files.parts import Part

CONTENT = bytes(range(256)) * 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waiting" / "x"


def test_it_is_taken_up_again_and_its_name_is_its_hash(path: Path, tmp_path: Path) -> None:
    with Part(path).open(len(CONTENT)) as part:
        part.add([CONTENT[:1000], CONTENT[1000:300_000]])
    assert parts.size_of(path) == 300_000
    part = Part(path).open(len(CONTENT))
    part.add([CONTENT[300_000:]])
    assert part.sha3 == hashlib.sha3_512(CONTENT).hexdigest()
    target = tmp_path / "content" / "a" / "b" / part.digest
    blob = part.finish(target)
    assert (blob.digest, blob.size) == (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    assert target.read_bytes() == CONTENT and parts.size_of(path) == 0


def test_more_than_there_can_be_is_begun_anew(path: Path) -> None:
    with Part(path).open(100) as part:
        part.add([bytes(101)])
    with Part(path).open(100) as part:
        assert part.size == 0
        part.add([b"abc"])
        part.restart()
        part.add([b"abc"])
        assert (part.size, part.sha3) == (3, hashlib.sha3_512(b"abc").hexdigest())
    assert path.read_bytes() == b"abc"


def test_what_a_full_disk_does_not_take_is_not_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def fills_up(descriptor: int, data: memoryview) -> int:
        if len(data) == 5:
            return real(descriptor, data[:2])
        raise OSError(errno.ENOSPC, "full")

    with Part(path).open(100) as part:
        part.add([b"0123"])
        with monkeypatch.context() as patched:
            patched.setattr(parts.os, "write", fills_up)
            with pytest.raises(OSError):
                part.add([b"45678"])
        assert part.size == 4
        part.add([b"4567"])
        assert part.sha3 == hashlib.sha3_512(b"01234567").hexdigest()
    assert path.read_bytes() == b"01234567"


def test_what_comes_too_late_harms_no_other_file(path: Path, tmp_path: Path) -> None:
    part = Part(path).open(100)
    part.close()
    with (tmp_path / "other").open("w+b") as other:
        with pytest.raises(OSError):
            part.add([b"late"])
        assert other.read() == b""


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        Part(path).open(0)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_only_old_parts_that_nobody_wants_are_swept(path: Path) -> None:
    folder = path.parent
    assert not parts.any_in(folder)
    folder.mkdir()
    for name, age in (("wanted", 1000), ("old", 1000), ("new", 0)):
        (folder / name).write_bytes(b"x")
        then = parts.time.time() - age
        os.utime(folder / name, (then, then))
    assert parts.any_in(folder)
    parts.sweep(folder, {"wanted"}, 300)
    assert sorted(one.name for one in folder.iterdir()) == ["new", "wanted"]


def test_an_answer_must_go_on_where_we_are_to_the_end_of_the_file() -> None:
    assert continues(206, {"content-range": "bytes 5-9/10"}, 5, 10)
    assert continues(200, {}, 0, 10) and continues(200, {"content-length": "10"}, 0, 10)
    for status, headers in [
        (200, {"content-length": "9"}),
        (206, {}),
        (206, {"content-range": "bytes 5-9/11"}),
        (206, {"content-range": "bytes 4-9/10"}),
        (206, {"content-range": "bytes 5-8/10"}),
        (206, {"content-range": "bytes 5-9/*"}),
        (206, {"content-range": f"bytes 5-9/{'1' * 19}"}),
        (404, {"content-range": "bytes 5-9/10"}),
        (304, {}),
    ]:
        assert not continues(status, headers, 0 if status == 200 else 5, 10)
    assert not continues(200, {"content-length": "10"}, 5, 10)
