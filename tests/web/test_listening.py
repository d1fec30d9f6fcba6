"""Certificates that are renewed while the server runs."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock as StillClock

from homeserver.clock import Clock
from homeserver.web.listening import BadCertificate, Certificate, Prompt
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


class Waiting(StillClock):
    """A reactor that notes who waits to send."""

    def __init__(self) -> None:
        super().__init__()
        self.sending: set[Any] = set()

    def addReader(self, _: Any) -> None:
        """Nothing is read here."""

    removeReader = addReader

    def addWriter(self, who: Any) -> None:
        self.sending.add(who)

    def removeWriter(self, who: Any) -> None:
        self.sending.discard(who)


def test_what_the_socket_takes_is_sent_at_once_and_the_rest_in_order() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    reactor = Waiting()
    connection = Prompt(ours, Protocol(), ("", 0), None, 0, reactor)  # type: ignore[no-untyped-call]
    connection.write(b"first")
    assert theirs.recv(100) == b"first" and not reactor.sending
    large = bytes(range(256)) * 40_000
    connection.write(large)
    connection.write(b"behind")
    assert connection in reactor.sending
    connection.loseConnection()  # type: ignore[no-untyped-call]
    got = b""
    while len(got) < len(large) + 6:
        connection.doWrite()  # type: ignore[no-untyped-call]
        got += theirs.recv(1 << 20)
    assert got == large + b"behind"
    theirs.close()
