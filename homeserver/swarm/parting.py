"""Servers that a merge has put out of a swarm: what was merged is brought to them, so that they merge it, too.  Bans nobody.

A ban goes to the server of who is banned; but where halves that banned each other's heads meet, who lost may have refused the other half's
ban, and from then on gets no event that would merge them.  So whoever sees that a merge has put a server out sends it the ends of the
room, and what of them it may lack; messages without their content.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from homeserver.events import canonical, redaction
from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName
from homeserver.federation.failures import PeerError
from homeserver.federation.parcels import Item, content
from homeserver.federation.peers import Peers
from homeserver.rooms.entering import Observer, ServerObserver
from homeserver.rooms.timeline import Timeline
from homeserver.storage import events, rooms, state, swarm_motions, swarm_notices
from homeserver.storage.events import Status, Stored
from homeserver.storage.rooms import Room
from homeserver.storage.swarm_motions import FAREWELL, WORK, Look
from homeserver.storage.transactions import Transaction
from homeserver.work import Work, all_due

FIRST_MS, LONGEST_MS, GIVE_UP_MS = 3000, 3600 * 1000, 7 * 24 * 3600 * 1000
AT_ONCE = 20
MOST_SENT = 50  # events, what one transaction may hold
MOST_TOLD = 3  # times that a server is told who shows that it does not know, for one membership
MOST_OF_SERVER = 200


@dataclass
class Farewells:
    """Tells servers that they are out."""

    timeline: Timeline
    peers: Peers

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.timeline.database.wakeups, self.look, (WORK,))

    async def look(self) -> float:
        """Tell those who are to be told now; the seconds until there is more."""
        database, clock = self.timeline.database, self.timeline.clock
        return await all_due(clock.now, partial(database.read, swarm_motions.next_due, farewells=True), self._take)

    async def _take(self, now: int) -> None:
        database = self.timeline.database
        for one in await database.read(swarm_motions.due, now, AT_ONCE, farewells=True):
            # Should another process look at it, too, it is put off for it.
            await database.write(swarm_motions.postpone, one, now + min(LONGEST_MS, max(FIRST_MS, 2 * (now - one.since))))
            if await self._tell(one) or now - one.since > GIVE_UP_MS:
                await database.write(swarm_motions.drop, one)

    async def _tell(self, one: Look) -> bool:
        server = ServerName(one.motion.removeprefix(FAREWELL))
        found = await self.timeline.database.read(_ends, one.room_id, server)
        name, now = self.timeline.identity.name, self.timeline.clock.now()
        if not found:
            return True
        items = [Item(event.event_id, canonical.merged(event.body, event.envelope)) for event in found]
        try:
            await self.peers.send_transaction(server, f"farewell.{now}", content(name, now, items, []))
        except PeerError:
            return False
        return True


def observe(now: Callable[[], int]) -> ServerObserver:
    """Note who is to be told."""

    def part(txn: Transaction, room: Room, server: ServerName) -> None:
        if room.version.law == "swarm":
            swarm_motions.note(txn, Look(room.room_id, FAREWELL + server, now(), now() + FIRST_MS))

    return part


def guard(own: ServerName, now: Callable[[], int]) -> Observer:
    """Note who does not know that it is out: its user speaks in the room, where nobody of that server is any more.

    Only a few times for what put that user out: the room's business does not go on to who asks for it by speaking.
    """

    def see(txn: Transaction, room: Room, stored: Stored) -> None:
        sender = stored.event.sender
        server, key = sender.domain, ("m.room.member", str(sender))
        if room.version.law != "swarm" or stored.status != Status.SOFT_FAILED or server == own or rooms.shares(txn, room.room_id, server):
            return
        membership = state.view(txn, room.state_root, [key]).get(key)
        if membership is None or swarm_motions.is_noted(txn, room.room_id, FAREWELL + server):
            return
        turns = (f"{FAREWELL}{membership.event_id} {turn}" for turn in range(MOST_TOLD))
        if any(swarm_notices.first(txn, server, True, room.room_id, turn, now(), MOST_OF_SERVER) for turn in turns):
            swarm_motions.note(txn, Look(room.room_id, FAREWELL + server, now(), now() + FIRST_MS))

    return see


def _ends(txn: Transaction, room_id: str, server: ServerName) -> list[Event]:
    """The ends of the room and what is before them, the oldest first; nothing if the server is in the room again."""
    room = rooms.get(txn, room_id)
    if room is None or room.departed or rooms.shares(txn, room_id, server):
        return []
    found: dict[str, Event] = {}
    ahead: list[str] = [head.event_id for head in room.heads]
    while ahead and len(found) < MOST_SENT:
        batch = events.find(txn, room_id, [one for one in ahead if one not in found])
        usable = [stored.event for stored in batch.values() if stored.status not in (Status.OUTLIER, Status.REJECTED)]
        for event in usable[: MOST_SENT - len(found)]:
            found[event.event_id] = event if event.state_key is not None else redaction.redacted(event)
        ahead = [before for event in usable for before in event.prev_events]
    return sorted(found.values(), key=lambda event: (event.depth, event.event_id))
