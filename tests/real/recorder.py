"""A proxy with TLS before a server's plain port, which keeps all that passes between it and other servers."""

import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

from tests.real.processes import Program


class Recorder:
    """Listens where the server's name leads, while it is entered."""

    def __init__(self, server: Program) -> None:
        self._server = server
        self._pieces: list[bytes] = []
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(server.folder / "certificate.pem", server.folder / "key.pem")
        self._listening = socket.create_server(("127.0.0.1", int(server.name.rpartition(":")[2])))

    def __enter__(self) -> "Recorder":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listening.close()

    def seen(self) -> bytes:
        """Everything that passed, in both directions."""
        return b"".join(self._pieces)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._pass, args=(connection,), daemon=True).start()

    def _pass(self, connection: socket.socket) -> None:
        with suppress(OSError):
            outside = self._context.wrap_socket(connection, server_side=True)
            inside = socket.create_connection(("127.0.0.1", int(urlsplit(self._server.url).port or 0)))
            threading.Thread(target=self._pump, args=(inside, outside), daemon=True).start()
            self._pump(outside, inside)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                self._pieces.append(piece)
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
