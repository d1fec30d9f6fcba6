"""Certificates that are renewed while the server runs."""

import os
from pathlib import Path

import pytest
from twisted.internet.task import Clock as StillClock

from homeserver.clock import Clock
from homeserver.web.listening import BadCertificate, Certificate
from tests import certificates


def touch(files: tuple[Path, Path], seconds: int) -> None:
    for file in files:
        os.utime(file, (seconds, seconds))


def test_a_renewed_certificate_is_noticed(tmp_path: Path) -> None:
    reactor, files = StillClock(), certificates.write(tmp_path, "example.org")
    touch(files, 1)
    certificate = Certificate(*files, Clock(reactor))
    first = certificate.context()
    certificates.write(tmp_path, "example.org")
    assert certificate.context() is first
    reactor.advance(61)
    second = certificate.context()
    assert second is not first
    reactor.advance(61)
    assert certificate.context() is second


def test_a_broken_renewal_leaves_the_old_one(tmp_path: Path) -> None:
    reactor, files = StillClock(), certificates.write(tmp_path, "example.org")
    touch(files, 1)
    certificate = Certificate(*files, Clock(reactor))
    first = certificate.context()
    files[1].write_text("half a key")
    reactor.advance(61)
    assert certificate.context() is first
    files[1].unlink()
    reactor.advance(61)
    assert certificate.context() is first


def test_a_key_that_does_not_fit_stops_the_start(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with pytest.raises(BadCertificate):
        Certificate(certificates.write(one, "a")[0], certificates.write(other, "a")[1], Clock(StillClock()))
