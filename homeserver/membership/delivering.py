"""How an invite gets to the server of who is invited.  docs/flows/joining.md, docs/flows/swarms.md

In most rooms it is signed there first and enters the room then.  A swarm asks no other server for what happens in it: there an invite
enters the room at once, and is brought to that server as soon as it answers.  So is the word that it was withdrawn.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

from twisted.logger import Logger

from homeserver.errors import Refused
from homeserver.events import arrival, canonical
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.errors import BadSignature, Denied, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.events.swarm.names import DEVICE
from homeserver.federation.deferring import Shared
from homeserver.federation.failures import Answered, PeerError
from homeserver.federation.keyring import Keyring
from homeserver.federation.parcels import Item, content
from homeserver.federation.peers import Invitation, Peers
from homeserver.rooms import routing
from homeserver.rooms.entering import Observer
from homeserver.rooms.stripped import federated_state
from homeserver.rooms.timeline import Timeline
from homeserver.storage import events, members, rooms, swarm_requests
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.swarm_requests import Outgoing
from homeserver.storage.transactions import Transaction
from homeserver.work import Work, all_due, pause

WORK = "swarm_outgoing"
AT_ONCE = 20
FIRST_MS, LONGEST_MS = 15_000, 3_600_000  # between two tries, doubled each time
PATIENCE_SECONDS = 5.0  # that an inviter waits for a server that does not answer
FINAL = (400, 403, 404)  # answers in Matrix's terms that no later try will change

log = Logger()


def observe(name: ServerName, now: Callable[[], int]) -> Observer:
    """Who must see each event of swarms: notes invites by users of the server `name`, and what becomes of them."""

    def see(txn: Transaction, room: Room, stored: Stored) -> None:
        event = stored.event
        if event.type != "m.room.member" or event.state_key is None:
            return
        target = UserID(event.state_key)
        ours = event.sender.domain == name != target.domain
        if ours and (event.membership == "invite" or _withdraws(txn, stored, target)):
            swarm_requests.send(txn, Outgoing(event.room_id, target, event.event_id, now() + FIRST_MS))
            txn.wake(WORK)
        else:
            swarm_requests.sent(txn, event.room_id, target)

    return see


@dataclass(frozen=True)
class Delivering:
    """Brings invites to other servers."""

    timeline: Timeline
    peers: Peers
    keyring: Keyring
    _under_way: Shared[tuple[str, str], None] = field(default_factory=Shared)

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.timeline.database.wakeups, self.look, (WORK,))

    # --- before it enters the room -------------------------------------------------------------------------

    async def signed(self, event: Event, server: ServerName) -> Event:
        """The invite with the signature of the server that it goes to."""
        invitation = await self.timeline.database.read(_invitation, event)
        try:
            raw = await self.peers.invite(server, event.room_id, event.event_id, invitation)
            signed = arrival.parse(event.version, bytes(raw), event.room_id)
            if signed.event_id != event.event_id:
                raise Malformed("it gave back another event")
            await self.keyring.verify_event(signed)
        except Answered as error:
            raise _refusal(server, error) from None
        except (PeerError, Malformed, BadSignature) as error:
            raise Refused(502, "M_UNKNOWN", f"The invite could not be delivered to {server}: {error}") from None
        theirs = signed.signatures.get(server)
        if not theirs:
            raise Refused(502, "M_UNKNOWN", f"{server} did not sign the invite")
        # Of what came back only the signature is theirs to add: the rest stays as we made it (I8).
        data = event.data
        data["signatures"] = {**data["signatures"], server: theirs}
        return events_core.read(event.version, data, event.room_id)

    # --- after it has entered a swarm ----------------------------------------------------------------------

    async def bring_soon(self, room_id: RoomID, target: UserID) -> None:
        """Have the invite that stands delivered; who does not hear within some seconds that it was need not wait.

        Raises `Refused` when it is refused for good; then it stands no more.
        """
        try:
            await self.timeline.clock.timeout(self._bring(room_id, target), PATIENCE_SECONDS)
        except TimeoutError:
            return

    async def look(self) -> float:
        """Try what is due; the seconds until there is more."""
        return await all_due(self.timeline.clock.now, partial(self.timeline.database.read, swarm_requests.next_outgoing), self._take)

    async def _take(self, now: int) -> None:
        for one in await self.timeline.database.write(_claim, now):
            self.work.beside((one.room_id, one.user_id), partial(self._try, one))

    def returned(self, server: str) -> None:
        """A server that was down has shown a sign of life."""
        hastened = self.timeline.database.write(_hasten, server, self.timeline.clock.now())
        hastened.addErrback(lambda failure: log.failure("Invites to {server} are not tried at once", failure, server=server))

    async def _try(self, one: Outgoing) -> None:
        try:
            await self._bring(one.room_id, one.user_id)
        except Refused as error:
            log.info("The invite of {user} to {room} is withdrawn: {error}", user=one.user_id, room=one.room_id, error=error)

    async def _bring(self, room_id: RoomID, target: UserID) -> None:
        await self._under_way.do((room_id, target), lambda: self._deliver(room_id, target))

    async def _deliver(self, room_id: RoomID, target: UserID) -> None:
        database = self.timeline.database
        event = await database.write(_standing, room_id, target)
        if event is None:
            return
        server = ServerName(target.domain)
        if event.membership != "invite":
            await self._retract(event, target)
            return
        try:
            await self.peers.invite(server, room_id, event.event_id, await database.read(_invitation, event))
        except Answered as error:
            if error.status not in FINAL or not error.errcode:
                return
            await database.write(self._withdraw, event, f"{server} refused the invite: {error.message}"[:1000])
            raise _refusal(server, error) from None
        except PeerError:
            return
        await database.write(swarm_requests.sent, room_id, target)

    async def _retract(self, event: Event, target: UserID) -> None:
        """Tell the server of a user whose invite was withdrawn: it is not in the room, so it would never hear of what it missed there."""
        item = Item(event.event_id, canonical.merged(event.body, event.envelope))
        body = content(self.timeline.identity.name, self.timeline.clock.now(), [item], [])
        try:
            await self.peers.send_transaction(ServerName(target.domain), event.event_id, body)
        except PeerError as error:
            if not isinstance(error, Answered) or error.status >= 500:
                return
        await self.timeline.database.write(swarm_requests.sent, event.room_id, target)

    def _withdraw(self, txn: Transaction, invite: Event, reason: str) -> None:
        """Take the invite back in the name of who invited, if it still stands and they may."""
        target = UserID(invite.state_key or "")
        room, member = rooms.lock(txn, invite.room_id), members.get(txn, invite.room_id, target)
        if room is None or room.departed or member is None or member.event_id != invite.event_id:
            return
        left = {"membership": "leave", "reason": reason}
        draft = Draft("m.room.member", invite.sender, left, target, device=invite.content.get(DEVICE))
        try:
            room, _ = self.timeline.append(txn, room, draft, self.timeline.clock.now())
            rooms.store(txn, room)
        except Denied as error:
            log.info("The invite of {user} to {room} stays: {error}", user=target, room=invite.room_id, error=error)
        swarm_requests.sent(txn, invite.room_id, target)  # who refused it knows


def _withdraws(txn: Transaction, stored: Stored, target: UserID) -> bool:
    """Whether an event ends the invite of a user whose server is not in the room."""
    if stored.event.membership not in ("leave", "ban") or stored.replaces is None or rooms.joined_of(txn, stored.room_id, target.domain):
        return False
    return events.by_number(txn, [stored.replaces])[stored.replaces].event.membership == "invite"


def _standing(txn: Transaction, room_id: RoomID, target: UserID) -> Event | None:
    """The invite, or its end, that is to be delivered, if it still stands; else it is forgotten."""
    one, member = swarm_requests.outgoing(txn, room_id, target), members.get(txn, room_id, target)
    if one is None:
        return None
    if member is None or member.event_id != one.event_id:
        swarm_requests.sent(txn, room_id, target)
        return None
    return events.by_number(txn, [member.num])[member.num].event


def _claim(txn: Transaction, now: int) -> list[Outgoing]:
    due = swarm_requests.outgoing_due(txn, now, AT_ONCE)
    return [one for one in due if swarm_requests.postpone_outgoing(txn, one, now + pause(FIRST_MS, one.tries, LONGEST_MS))]


def _hasten(txn: Transaction, server: str, now: int) -> None:
    if swarm_requests.hasten_outgoing(txn, server, now):
        txn.wake(WORK)


def _refusal(server: ServerName, error: Answered) -> Refused:
    return Refused(error.status_for_clients, error.errcode_for_clients, f"{server} refused the invite: {error.message}")


def _invitation(txn: Transaction, event: Event) -> Invitation:
    """What goes to the server of the invited user."""
    room = rooms.get(txn, event.room_id)
    others = routing.servers(txn, room) if room is not None else []
    return Invitation(event.version.id, event.data, federated_state(txn, event.room_id), others)
