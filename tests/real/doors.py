"""Connections to a server of several processes, each known to be to one of them.  Linux only: reads /proc."""

import http.client
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.real.processes import PATIENCE, Program

CLIENT = "/_matrix/client/v3"


class Cut(Exception):
    """The connection ended before the answer was complete: nobody knows what became of the request."""


@dataclass
class Line:
    """One connection, which stays open; `token` is whose requests these are."""

    url: str
    token: str | None = None
    _open: http.client.HTTPConnection | None = field(default=None, repr=False)

    def ask(self, verb: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> tuple[int, Any]:
        """Status and JSON of an answer; raises `Cut`."""
        status, raw = self.ask_raw(verb, path, body, token, **query)
        return status, json.loads(raw) if raw else None

    def ask_raw(self, verb: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> tuple[int, bytes]:
        """Status and body of an answer; raises `Cut`."""
        if self._open is None:
            self._open = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        path = path if path.startswith("/_") else CLIENT + path
        headers = {"content-type": "application/json"}
        if (token or self.token) is not None:
            headers["authorization"] = f"Bearer {token or self.token}"
        asked = quote(path, safe="/%:@!$&'()*+,;=~") + ("?" + urlencode(query) if query else "")
        try:
            self._open.request(verb, asked, None if body is None else json.dumps(body), headers)
            answer = self._open.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Cut from error
        return answer.status, raw

    def must(self, verb: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> Any:
        """The JSON of an answer that must be good."""
        status, found = self.ask(verb, path, body, token, **query)
        assert status == 200, (verb, path, status, found)
        return found

    def close(self) -> None:
        """Hang up; the next request connects anew, to whichever process takes it."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.close()

    @property
    def port(self) -> int:
        """Our own port."""
        assert self._open is not None and self._open.sock is not None
        return int(self._open.sock.getsockname()[1])


def workers(server: Program) -> list[int]:
    """The processes that serve."""
    assert server.running is not None
    number = server.running.pid
    found = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [int(each) for each in found if _is_worker(each)]


def _is_worker(number: str) -> bool:
    with suppress(OSError):
        return b"worker" in Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    return False


def process_of(line: Line, among: list[int]) -> int | None:
    """Which of the processes has the other end of a connection."""
    theirs = f"{urlsplit(line.url).port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [row[9] for row in rows if row[1].endswith(":" + theirs) and row[2].endswith(f":{line.port:04X}")]
    for number in among:
        with suppress(OSError):
            for each in Path(f"/proc/{number}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(each) in {f"socket:[{end}]" for end in ends}:
                        return number
    return None


def one_each(server: Program) -> list[Line]:
    """A connection to each process."""
    found: dict[int, Line] = {}
    others: list[Line] = []
    until = time.monotonic() + PATIENCE
    while len(found) < len(workers(server)) or len(found) < 2:
        assert time.monotonic() < until, f"connections land on {sorted(found)} of {workers(server)} only"
        line = Line(server.url)
        line.must("GET", "/_matrix/client/versions")
        number = process_of(line, workers(server))
        if number is None or number in found:
            others.append(line)  # stays open, so that the next one is taken by somebody else
        else:
            found[number] = line
        if len(others) > 200:
            others.pop(0).close()
    for line in others:
        line.close()
    return list(found.values())


def register(line: Line, name: str) -> dict[str, str]:
    """A new account: user_id, access_token, device_id."""
    wanted: dict[str, Any] = {"username": name, "password": "a long password", "auth": {"type": "m.login.dummy"}}
    status, found = line.ask("POST", "/register", wanted)
    if status == 401:
        wanted["auth"] = {"type": "m.login.dummy", "session": found["session"]}
        status, found = line.ask("POST", "/register", wanted)
    assert status == 200, found
    return dict(found)
