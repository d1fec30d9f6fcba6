"""The published list of rooms: paging through it, searching it, and that of other servers.

spec: client-server-api#published-room-directory
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from homeserver.directory import summaries
from homeserver.directory.summaries import Summary
from homeserver.errors import InvalidParam, Refused
from homeserver.events.identifiers import ServerName
from homeserver.federation.failures import Answered, PeerError
from homeserver.federation.peers import Peers
from homeserver.storage import directory, rooms
from homeserver.storage.database import Database
from homeserver.storage.directory import Place
from homeserver.storage.transactions import Transaction

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
BATCH = 500
MOST_SCANNED = 10_000  # rooms that one request looks at; the search goes on from there with the next page


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page of which list.  `network` is '' for the server's own list and None for all; `types` None for any type."""

    limit: int | None = None
    since: str | None = None
    term: str | None = None
    types: tuple[str | None, ...] | None = None
    network: str | None = ""

    @property
    def most(self) -> int:
        """How many rooms the page has at most."""
        return DEFAULT_LIMIT if not self.limit or self.limit < 0 else min(self.limit, MAX_LIMIT)

    def matches(self, summary: Summary) -> bool:
        """Whether a room is one of those that are looked for."""
        if self.types is not None and summary.room_type not in self.types:
            return False
        if not self.term:
            return True
        term = self.term.casefold()
        return any(term in text.casefold() for text in (summary.name, summary.topic, summary.canonical_alias) if text)


@dataclass(frozen=True)
class PublicRooms:
    """The lists of this server and of others."""

    database: Database
    peers: Peers

    async def page(self, wanted: Wanted) -> dict[str, Any]:
        """A page of our own list, the fullest rooms first."""
        return await self.database.read(_page, wanted)

    async def of_server(self, server: ServerName, wanted: Wanted) -> dict[str, Any]:
        """A page of the list of another server; raises `Refused`."""
        network = {"include_all_networks": True} if wanted.network is None else {"third_party_instance_id": wanted.network}
        filters = {"generic_search_term": wanted.term, "room_types": None if wanted.types is None else list(wanted.types)}
        try:
            answer = await self.peers.public_rooms(
                server,
                limit=wanted.most,
                since=wanted.since,
                filters={name: value for name, value in filters.items() if value is not None},
                network=network if wanted.network != "" else None,
            )
        except Answered as error:
            sentence = f"{server} does not show its rooms: {error.message}"
            raise Refused(error.status_for_clients, error.errcode_for_clients, sentence) from None
        except PeerError as error:
            raise Refused(502, "M_UNKNOWN", f"{server} does not show its rooms: {error.reason}") from None
        chunk = [entry for one in answer.chunk[:MAX_LIMIT] if (entry := summaries.believed(one)) is not None]
        rest = {
            "next_batch": answer.next_batch,
            "prev_batch": answer.prev_batch,
            "total_room_count_estimate": answer.total_room_count_estimate,
        }
        return {"chunk": chunk, **{name: value for name, value in rest.items() if value is not None}}


def _page(txn: Transaction, wanted: Wanted) -> dict[str, Any]:
    backwards, place = _read(wanted.since) if wanted.since else (False, None)
    kept: list[tuple[Place, dict[str, Any]]] = []
    scanned, more = 0, True
    while more and len(kept) < wanted.most and scanned < MOST_SCANNED:
        found = _next(txn, wanted.network, backwards, place)
        more = len(found) == BATCH
        scanned += len(found)
        for at, entry in _entries(txn, found, wanted):
            if len(kept) == wanted.most:
                more = True
                break
            kept.append((at, entry))
        place = kept[-1][0] if len(kept) == wanted.most else found[-1] if found else place
    first, last = (place, kept[0][0] if kept else place) if backwards else (kept[0][0] if kept else place, place)
    answer: dict[str, Any] = {"chunk": [entry for _, entry in (reversed(kept) if backwards else kept)]}
    if last is not None and (more or backwards):
        answer["next_batch"] = _text(False, last)
    if first is not None and (more if backwards else wanted.since is not None):
        answer["prev_batch"] = _text(True, first)
    return {**answer, "total_room_count_estimate": directory.count_published(txn, wanted.network)}


def _next(txn: Transaction, network: str | None, backwards: bool, place: Place | None) -> list[Place]:
    """The next rooms in the direction of the walk."""
    if not backwards:
        return directory.published(txn, network, place, BATCH)
    assert place is not None
    return directory.published_before(txn, network, place, BATCH)


def _entries(txn: Transaction, places: list[Place], wanted: Wanted) -> list[tuple[Place, dict[str, Any]]]:
    found = rooms.several(txn, [room_id for _, room_id in places])
    about = summaries.of(txn, found.values())
    return [
        (place, about[place[1]].listed(found[place[1]].joined_members))
        for place in places
        if place[1] in about and wanted.matches(about[place[1]])
    ]


def _text(backwards: bool, place: Place) -> str:
    return f"{'b' if backwards else 'f'}{place[0]}_{urlsafe_b64encode(place[1].encode()).decode().rstrip('=')}"


def _read(token: str) -> tuple[bool, Place]:
    count, _, room = token[1:].partition("_")
    try:
        if token[0] not in "fb" or not 0 < len(count) < 19:
            raise ValueError(token)
        room_id = urlsafe_b64decode(room + "=" * (-len(room) % 4)).decode()
        if "\0" in room_id:
            raise ValueError(token)
        return token[0] == "b", (int(count), room_id)
    except ValueError:
        raise InvalidParam("`since` is not a token of this server") from None
