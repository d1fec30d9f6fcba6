"""Names of rooms: here and on other servers.  spec: client-server-api#room-aliases"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.errors import Forbidden, InvalidParam, NotFound, Refused
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomAlias, RoomID, ServerName, UserID
from homeserver.federation.failures import Answered, PeerError
from homeserver.federation.peers import Peers
from homeserver.identity import Identity
from homeserver.rooms import powers, reading
from homeserver.storage import directory, members, rooms, state
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction

MOST_SERVERS = 50
MOST_NEW = 20


class BadAlias(Refused):
    """An alias that does not lead where it should."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, "M_BAD_ALIAS", sentence)


class Keepers(Protocol):
    """Application services, as far as aliases are concerned."""

    def reserved_alias(self, alias: str, besides: str | None = None) -> bool:
        """Whether a service other than `besides` keeps this alias for itself."""

    async def open_room(self, alias: str) -> bool:
        """Whether a service has, upon the question, made a room with this alias."""


@dataclass(frozen=True)
class Aliases:
    """Resolving, making and removing aliases."""

    database: Database
    identity: Identity
    peers: Peers
    keepers: Keepers

    async def resolve(self, alias: RoomAlias) -> tuple[RoomID, list[ServerName]]:
        """The room that an alias means, and servers that are in it.  Raises `NotFound`."""
        if self.identity.is_mine(alias):
            found = await self.database.read(self._local, alias)
            if found is None:
                await self.keepers.open_room(alias)
                found = await self.database.read(self._local, alias)
            if found is None:
                raise NotFound(f"There is no room {alias}")
            return found
        server = ServerName(alias.domain)
        try:
            answer = await self.peers.alias(server, alias)
            servers = [*(ServerName.parse(name) for name in answer.servers[:MOST_SERVERS]), server]
            return RoomID.parse(answer.room_id), list(dict.fromkeys(servers))
        except Answered as error:
            if error.status == 404:
                raise NotFound(f"There is no room {alias}") from None
            raise Refused(502, "M_UNKNOWN", f"{server} does not say what {alias} means: {error.message}") from None
        except (PeerError, Malformed) as error:
            raise Refused(502, "M_UNKNOWN", f"{server} does not say what {alias} means: {error}") from None

    def _local(self, txn: Transaction, alias: RoomAlias) -> tuple[RoomID, list[ServerName]] | None:
        found = directory.alias_and_servers(txn, alias)
        if found is None:
            return None
        room_id, servers = found
        # Ourselves first: we made the alias, and know the room best.
        return room_id, [self.identity.name, *(server for server in servers[:MOST_SERVERS] if server != self.identity.name)]

    def check_free(self, alias: RoomAlias, appservice: str | None) -> None:
        """Raise `Refused` (M_EXCLUSIVE) for an alias that another application service keeps for itself."""
        if self.keepers.reserved_alias(alias, appservice):
            raise Refused(400, "M_EXCLUSIVE", "This alias is reserved for an application service")

    async def create(self, alias: RoomAlias, room_id: RoomID, user: UserID, now: int) -> None:
        """Let a new alias of this server mean a room that the user is in.  Raises `Refused` (409) where it is taken."""
        await self.database.write(self._create, alias, room_id, user, now)

    def _create(self, txn: Transaction, alias: RoomAlias, room_id: RoomID, user: UserID, now: int) -> None:
        if not members.is_joined(txn, room_id, user):
            raise Forbidden(f"{user} is not in this room")
        if not directory.add_alias(txn, alias, room_id, user, now):
            raise Refused(409, "M_UNKNOWN", f"The alias {alias} is taken")

    async def remove(self, alias: RoomAlias, user: UserID, *, admin: bool) -> RoomID:
        """Remove an alias: its maker may, an administrator, and who may name the room's aliases.  Answers its room."""
        return await self.database.write(self._remove, alias, user, admin)

    def _remove(self, txn: Transaction, alias: RoomAlias, user: UserID, admin: bool) -> RoomID:
        found = directory.alias(txn, alias)
        if found is None:
            raise NotFound(f"There is no room {alias}")
        room_id, creator = found
        if not (admin or creator == user or may_set_aliases(txn, room_id, user)):
            raise Forbidden("You may not remove this alias")
        directory.remove_alias(txn, alias)
        return room_id

    async def check_canonical(self, room_id: RoomID, content: dict[str, Any]) -> None:
        """Refuse a canonical alias event whose new aliases do not lead to its room (M_BAD_ALIAS), or are none (M_INVALID_PARAM)."""
        for text in await self.database.read(self._new_aliases, room_id, content):
            try:
                found, _ = await self.resolve(RoomAlias.parse(text))
            except Malformed as error:
                raise InvalidParam(str(error)) from None
            except NotFound:
                raise BadAlias(f"There is no alias {text}") from None
            if found != room_id:
                raise BadAlias(f"The alias {text} leads to another room")

    def _new_aliases(self, txn: Transaction, room_id: RoomID, content: dict[str, Any]) -> list[str]:
        """Aliases that the event would add; what stands there already was checked when it came."""
        alias, others = content.get("alias"), content.get("alt_aliases", [])
        wanted = [*([] if alias in (None, "") else [alias]), *(others if isinstance(others, list) else [others])]
        if not all(isinstance(one, str) for one in wanted):
            raise InvalidParam("An alias must be a string")
        known = state.current_event(txn, room_id, "m.room.canonical_alias")
        before = known.event.content if known is not None else {}
        listed = before.get("alt_aliases")
        known_before = [before.get("alias"), *(listed if isinstance(listed, list) else [])]
        new = [one for one in dict.fromkeys(wanted) if one not in known_before]
        if len(new) > MOST_NEW:
            raise InvalidParam(f"At most {MOST_NEW} aliases can be added at once: each must be looked up")
        return new

    async def of_room(self, room_id: RoomID, user: UserID) -> Sequence[RoomAlias]:
        """The local aliases of a room that the user may read."""
        return await self.database.read(self._of_room, room_id, user)

    def _of_room(self, txn: Transaction, room_id: RoomID, user: UserID) -> list[RoomAlias]:
        reading.window(txn, room_id, user)
        return directory.aliases_of(txn, room_id)


def may_set_aliases(txn: Transaction, room_id: RoomID, user: UserID) -> bool:
    """Whether the user has the power to set the room's canonical alias."""
    room = rooms.get(txn, room_id) if members.is_joined(txn, room_id, user) else None
    if room is None:
        return False
    power = powers.current(txn, room)
    return power.of(user) >= power.needed("m.room.canonical_alias", is_state=True)
