"""Who has a file, and who asked for one: what servers of a room tell each other of files, so that who waits need not ask everybody.

Hints, in memory: what is lost costs time, since who waits asks again.
"""

from dataclasses import dataclass, field
from typing import Final

from homeserver.events.identifiers import ServerName
from homeserver.events.vendor import named
from homeserver.federation.volatile import Edus
from homeserver.storage import rooms
from homeserver.storage.rooms import Room
from homeserver.storage.swarm_files import Held
from homeserver.storage.transactions import Transaction

EDU: Final = named("file")
MOST_FILES, MOST_SERVERS = 10_000, 20


@dataclass
class Known:
    """Servers by file, the oldest forgotten first."""

    _servers: dict[tuple[str, str], list[ServerName]] = field(default_factory=dict)

    def note(self, room_id: str, sha3: str, server: ServerName) -> None:
        """Remember a server with a file."""
        found = self._servers.pop((room_id, sha3), [])
        self._servers[room_id, sha3] = [server, *(one for one in found if one != server)][:MOST_SERVERS]
        if len(self._servers) > MOST_FILES:
            del self._servers[next(iter(self._servers))]

    def of(self, room_id: str, sha3: str) -> list[ServerName]:
        """The servers of a file, the latest first."""
        return self._servers.get((room_id, sha3), [])


@dataclass(frozen=True)
class Announcing:
    """Tells servers which files are here.  `asked`: who asked for which in vain."""

    name: ServerName
    edus: Edus
    asked: Known = field(default_factory=Known)

    def arrived(self, txn: Transaction, room: Room, held: Held) -> None:
        """A file is here: all servers of a small room are told, of a large one those that asked."""
        others = [server for server in rooms.joined_servers(txn, room.room_id) if server != self.name]
        if len(others) > MOST_SERVERS:
            others = [server for server in self.asked.of(room.room_id, held.sha3) if server in others]
        content = {"room_id": room.room_id, "sha3sum": held.sha3}
        txn.on_commit(self.edus.send, others, EDU, content, f"{room.room_id} {held.sha3}")
