"""Has a command carried out: by the running server if there is one, else by opening the database here.  Prints nothing."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from homeserver.api.admin.commands import PREFIX
from homeserver.running import command_socket, once
from homeserver.server import Server
from homeserver.settings import Settings
from homeserver.web.types import Request, Response

TIMEOUT_SECONDS = 60
Body = dict[str, Any] | None


class CommandFailed(Exception):
    """What the server said."""


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self.path))


def command(reactor: Any, settings: Settings, method: str, parts: tuple[str, ...], body: Body = None) -> dict[str, Any]:
    """The answer to a command; raises `CommandFailed`, or `CannotStart` when there is neither server nor database."""
    path = "/".join((PREFIX, *(quote(part, safe="") for part in parts)))
    content = b"" if body is None else json.dumps(body).encode()
    status, raw = _ask_running(settings, method, path, content) or _ask_here(reactor, settings, method, path, content)
    answer: dict[str, Any] = json.loads(raw)
    if status != 200:
        raise CommandFailed(str(answer.get("error", "The command failed")))
    return answer


def _ask_running(settings: Settings, method: str, path: str, content: bytes) -> tuple[int, bytes] | None:
    connection = _Local(command_socket(settings))
    try:
        connection.connect()
    except OSError:
        return None
    try:
        connection.request(method, path, content)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(f"The running server broke off: {error}") from None
    finally:
        connection.close()


def _ask_here(reactor: Any, settings: Settings, method: str, path: str, content: bytes) -> tuple[int, bytes]:
    answers: list[Response] = []

    async def ask(server: Server) -> None:
        answers.append(await server.commands.respond(Request(method, path, body=content)))

    once(reactor, settings, ask)
    body = answers[0].body
    return answers[0].status, body if isinstance(body, bytes) else b"{}"
