"""The side of the user who follows a link, of this server or of another: asks, joins when they may, and sees to the room's key.

Where the key does not come with the link, the device asks the members for it (`room_keys`): one of them who is online sends it, or the
first who comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger

from homeserver.errors import Forbidden, Refused
from homeserver.events.errors import Denied, Malformed
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.federation.failures import Answered, PeerError
from homeserver.federation.peers import Peers
from homeserver.membership.candidates import MOST
from homeserver.membership.joins import Joins
from homeserver.membership.links.making import NoSuchLink
from homeserver.membership.links.notifying import EDU, Notifier
from homeserver.membership.links.redeeming import Follower, Outcome, Redeeming
from homeserver.room_keys import telling
from homeserver.room_keys.requests import Requests
from homeserver.storage import destinations, device_keys, join_links, rooms
from homeserver.storage.join_links import DECLINED, OPEN, WAITING, Hope, LinkRequest
from homeserver.storage.transactions import Transaction

MOST_HOPES = 100

log = Logger()


@dataclass(frozen=True)
class Following:
    """Follows links for local users, and hears what became of it elsewhere."""

    redeeming: Redeeming
    joins: Joins
    peers: Peers
    keys: Requests
    notifier: Notifier

    @property
    def name(self) -> ServerName:
        """This server."""
        return self.joins.timeline.identity.name

    async def follow(self, user: UserID, device_id: str, server: ServerName, token: str) -> Outcome:
        """Follow a link: who may join is in the room when this returns.  Raises `NoSuchLink`, or what the join says."""
        who = Follower(user, device_id, await self.joins.timeline.database.read(_public_key, user, device_id))
        outcome = await (self.redeeming.follow(token, who) if server == self.name else self._ask(server, token, who))
        if outcome.status == OPEN:
            await self._enter(who, outcome.room_id, [server, *outcome.via], outcome.key is not None)
            if not await self.joins.timeline.database.read(rooms.shares, outcome.room_id, server):
                # A link of theirs lets nobody into rooms of others: what they call the room's key is none.
                raise Refused(502, "M_UNKNOWN", f"{server} is not in the room that its link leads to")
        elif outcome.status == WAITING and server != self.name:
            hope = Hope(server, outcome.request_id, user, device_id, self.joins.timeline.clock.now())
            await self.joins.timeline.database.write(_hope, hope)
        return outcome

    async def decide(self, approver: UserID, server: ServerName, request_id: str, approve: bool) -> None:
        """A local member agrees or declines, also about a link of another server."""
        if server == self.name:
            await self.decided(await self.redeeming.decide(approver, request_id, approve))
            return
        try:
            await self.peers.decide_link(server, request_id, approver, approve)
        except Answered as error:
            status = 409 if error.status == 409 else error.status_for_clients
            raise Refused(status, error.errcode_for_clients, error.message) from None
        except PeerError as error:
            raise Refused(502, "M_UNKNOWN", f"{server} could not be asked: {error}") from None

    async def decided(self, request: LinkRequest) -> None:
        """A link of this server was decided about: whoever waits is told, and joins."""
        if not request.device_id:
            return  # Somebody named them: the invite is all that comes of it.
        content = {"room_id": request.room_id, "request_id": request.request_id, "status": request.status}
        if request.user_id.domain == self.name:
            await self._hear(request.user_id, request.device_id, request.public_key, self.name, content)
        else:
            await self.joins.timeline.database.write(destinations.post_edu, request.user_id.domain, EDU, content)

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Another server says what became of a request for one of its links; only what somebody here waits for counts."""
        request_id, room, status = (content.get(name) for name in ("request_id", "room_id", "status"))
        if status == WAITING:
            await self.notifier.relay(origin, content)
        if not isinstance(request_id, str) or "\0" in request_id or status not in (OPEN, DECLINED):
            return
        try:
            room_id = RoomID.parse(room)  # type: ignore[arg-type]
        except (Malformed, TypeError, AttributeError):
            return
        database = self.joins.timeline.database
        hope = await database.write(join_links.take_hope, origin, request_id)
        if hope is not None:
            public_key = await database.read(_public_key, hope.user_id, hope.device_id)
            told = {"room_id": room_id, "request_id": request_id, "status": status}
            await self._hear(hope.user_id, hope.device_id, public_key, origin, told)

    async def _hear(self, user: UserID, device_id: str, public_key: str, server: ServerName, content: dict[str, Any]) -> None:
        """A local user's request was decided: they join, and their device is told if it is online."""
        if content["status"] == OPEN:
            try:
                await self._enter(Follower(user, device_id, public_key), content["room_id"], [server], False)
            except (Refused, Denied) as error:
                # The invite stands; the user can accept it by hand.
                log.info("{user} could not join {room} after a link: {error}", user=user, room=content["room_id"], error=str(error))
        self.notifier.tell(f"{user}/{device_id}", telling.message(f"{EDU}.decided", user, content))

    async def _ask(self, server: ServerName, token: str, who: Follower) -> Outcome:
        """Have the link's server let a local user in."""
        try:
            found = await self.peers.follow_link(server, token, who.user_id, who.device_id, who.public_key)
            via = tuple(ServerName.parse(one) for one in found.via[:MOST])
            if found.key is not None:
                telling.sealed(found.key)  # as large as a key may be
            return Outcome(RoomID.parse(found.room_id), telling.request_id(found.request_id), found.status, via, found.key)
        except Answered as error:
            if error.status == 404:
                raise NoSuchLink from None
            raise Refused(error.status_for_clients, error.errcode_for_clients, error.message) from None
        except (PeerError, Malformed, Refused) as error:
            raise Refused(502, "M_UNKNOWN", f"{server} could not be asked: {error}") from None

    async def _enter(self, who: Follower, room_id: RoomID, via: list[ServerName], has_key: bool) -> None:
        content = await self.redeeming.invites.profile(who.user_id)
        await self.joins.join(who.user_id, room_id, [one for one in dict.fromkeys(via) if one != self.name], content, who.device_id)
        if not has_key and who.public_key:
            await self.keys.ask(who.user_id, who.device_id, room_id, who.public_key)


def _public_key(txn: Transaction, user: UserID, device_id: str) -> str:
    """The curve25519 key of a device, '' where it has none."""
    keys = device_keys.get(txn, user, device_id)
    found = keys["keys"].get(f"curve25519:{device_id}", "") if keys is not None else ""
    return found if isinstance(found, str) and len(found) <= telling.MAX_PUBLIC_KEY else ""


def _hope(txn: Transaction, hope: Hope) -> None:
    if join_links.hopes_of(txn, hope.user_id) >= MOST_HOPES:
        raise Forbidden(f"A user waits for at most {MOST_HOPES} links")
    join_links.hope(txn, hope)
