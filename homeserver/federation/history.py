"""History that is elsewhere: fetched from servers in the room when somebody looks for it.  Shows nothing to anybody.

spec: server-server-api#backfilling-and-retrieving-missing-events
"""

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from homeserver.events import arrival
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.versions import RoomVersion
from homeserver.federation.failures import PeerError
from homeserver.federation.fetches import Fetches, TooMuch
from homeserver.federation.keyring import Keyring
from homeserver.federation.peers import Peers
from homeserver.rooms.timeline import Timeline
from homeserver.storage import events, rooms
from homeserver.storage.events import Order
from homeserver.storage.transactions import Transaction

log = Logger()

CANDIDATES = 5
PAGE = 100
CHAINS = 10  # events of a page whose authority is asked for: the first brings nearly all


@dataclass(frozen=True)
class History:
    """Fetches what came before a gap."""

    timeline: Timeline
    peers: Peers
    keyring: Keyring
    fetches: Fetches

    async def fill(self, room_id: RoomID, place: Order, missing: Sequence[str]) -> bool:
        """Ask servers in the room for what stands in front of `place`; whether anything came."""
        known = await self.timeline.database.read(self._candidates, room_id)
        if known is None:
            return False
        version, servers = known
        for server in servers[:CANDIDATES]:
            try:
                raw = await self.peers.backfill(server, room_id, list(missing)[:20], PAGE)
                self.fetches.check(version, "history", room_id, raw)
            except (PeerError, TooMuch) as error:
                log.info("no history of {room} from {server}: {error}", room=room_id, server=server, error=str(error))
                continue
            batch = await self._believed(version, room_id, raw)
            if batch and await self._take(server, room_id, place, batch):
                return True
        return False

    def _candidates(self, txn: Transaction, room_id: RoomID) -> tuple[RoomVersion, list[ServerName]] | None:
        room = rooms.get(txn, room_id)
        if room is None or room.departed:
            return None
        ourselves = self.timeline.identity.name
        return room.version, [server for server in rooms.joined_servers(txn, room_id) if server != ourselves]

    async def _believed(self, version: RoomVersion, room_id: RoomID, raw: Sequence[object]) -> list[Event]:
        """The events that are in good form and signed."""
        found: list[Event] = []
        for one in raw[: 2 * PAGE]:
            try:
                found.append(arrival.parse(version, bytes(one), room_id))  # type: ignore[call-overload]
            except Malformed:
                continue
        problems = await self.keyring.verify_events(found)
        return [event for event in found if event.event_id not in problems]

    async def _take(self, server: ServerName, room_id: RoomID, place: Order, batch: list[Event]) -> bool:
        await self._fetch_authority(server, room_id, batch)
        return await self.timeline.backfill(room_id, place, batch)

    async def _fetch_authority(self, server: ServerName, room_id: RoomID, batch: Sequence[Event]) -> None:
        """What the events cite and nobody here knows, from the server that sent them."""
        cited = {auth for event in batch for auth in event.auth_events} - {event.event_id for event in batch}
        here = await self.timeline.database.read(events.numbers, room_id, cited)
        lacking = [event for event in batch if any(auth in cited and auth not in here for auth in event.auth_events)]
        fetched: set[str] = set()
        for event in lacking[:CHAINS]:
            if all(auth in here or auth in fetched for auth in event.auth_events):
                continue
            try:
                raw = await self.peers.event_auth(server, room_id, event.event_id)
                self.fetches.check(event.version, "history", room_id, raw)
            except (PeerError, TooMuch):
                continue
            chain = await self._believed(event.version, room_id, raw)
            fetched |= {one.event_id for one in chain}
            await self.timeline.outliers(room_id, event.version, chain)
