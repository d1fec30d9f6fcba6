"""Files on their way out to servers: a few at once for each, so that none that reads slowly holds all that this server can open."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from homeserver.errors import LimitExceeded
from homeserver.events.identifiers import ServerName
from homeserver.media.serving import Span
from homeserver.storage.swarm_files import Held
from homeserver.swarm.files.shelf import Shelf

AT_ONCE, AT_ONCE_OF_SERVER = 64, 8


@dataclass(frozen=True)
class Serving:
    """Gives files of the shelf."""

    shelf: Shelf
    _open: Counter[str] = field(default_factory=Counter)

    async def bytes(self, server: ServerName, held: Held, span: Span) -> AsyncIterator[bytes]:
        """The bytes of a file for a server; raises `LimitExceeded` while it reads enough others."""
        if self._open[server] >= AT_ONCE_OF_SERVER or self._open.total() >= AT_ONCE:
            raise LimitExceeded(5_000)
        return _Counted(await self.shelf.bytes(held, span), self._open, server)


class _Counted:
    """Counts as open from here to its end."""

    def __init__(self, pieces: AsyncIterator[bytes], counter: Counter[str], server: str) -> None:
        self._pieces, self._counter, self._server = pieces, counter, server
        self._over = False
        counter[server] += 1

    def __aiter__(self) -> "_Counted":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        """No more is wanted."""
        self._end()
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._counter[self._server] -= 1
            if not self._counter[self._server]:
                del self._counter[self._server]
