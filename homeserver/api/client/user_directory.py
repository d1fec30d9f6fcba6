"""Finding people, and rooms shared with them.  spec: client-server-api#user-directory"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homeserver.directory.people import People
from homeserver.errors import InvalidParam
from homeserver.events.identifiers import UserID
from homeserver.storage import user_directory
from homeserver.storage.transactions import Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post

DEFAULT_LIMIT = 10
MAX_LIMIT = 50
ROOMS = 100


class Search(msgspec.Struct):
    """Whom to look for."""

    search_term: Annotated[str, msgspec.Meta(max_length=512)]
    limit: int = DEFAULT_LIMIT


class Mutual(msgspec.Struct, rename={"start": "from"}):
    """With whom, and where to go on."""

    user_id: str
    start: str | None = None


@dataclass(frozen=True)
class PeoplePages:
    """The user directory."""

    people: People

    @post("/_matrix/client/v3/user_directory/search", limit="search")
    async def search(self, caller: Caller, body: Search) -> dict[str, Any]:
        """People with a name or id like that."""
        limit = DEFAULT_LIMIT if body.limit < 1 else min(body.limit, MAX_LIMIT)
        found, more = await self.people.search(caller.user_id, body.search_term, limit)
        results = []
        for person in found:
            shown = {"user_id": person.user_id, "display_name": person.display_name, "avatar_url": person.avatar_url}
            results.append({key: value for key, value in shown.items() if value is not None})
        return {"results": results, "limited": more}

    @get("/_matrix/client/v1/mutual_rooms", limit="lookup")
    async def mutual_rooms(self, caller: Caller, query: Mutual) -> dict[str, Any]:
        """Rooms that the caller and somebody else are both in."""
        other, after = UserID.parse(query.user_id), _after(query.start)
        if other == caller.user_id:
            raise InvalidParam("You cannot ask for the rooms that you share with yourself")
        found, count = await self.people.database.read(_mutual, caller.user_id, other, after)
        answer: dict[str, Any] = {"joined": found[:ROOMS], "count": count}
        if len(found) > ROOMS:
            answer["next_batch"] = urlsafe_b64encode(found[ROOMS - 1].encode()).decode().rstrip("=")
        return answer

    @get("/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms", limit="lookup")
    async def mutual_rooms_of_old(self, caller: Caller, query: Mutual) -> dict[str, Any]:
        """The same, as clients asked for it before it was specified."""
        answer = await self.mutual_rooms(caller, query)
        return {**answer, **({"next_batch_token": answer["next_batch"]} if "next_batch" in answer else {})}


def _mutual(txn: Transaction, user: UserID, other: UserID, after: str) -> tuple[list[str], int]:
    found = user_directory.mutual_rooms(txn, user, other, after, ROOMS + 1)
    return found, user_directory.count_mutual_rooms(txn, user, other)


def _after(token: str | None) -> str:
    if not token:
        return ""
    try:
        room_id = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        room_id = ""
    if not room_id.startswith("!") or "\0" in room_id:
        raise InvalidParam("`from` is not a token of this server")
    return room_id
