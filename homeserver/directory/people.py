"""Finding people: those who share a room with the one who looks, or are in a room that everybody may enter.

Nobody is found or shown by a name that they use only where the one who looks is not: local users go by their profile, others by
their names in rooms that the one who looks may see.  spec: client-server-api#user-directory
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import orjson

from homeserver.directory import summaries
from homeserver.events.identifiers import ServerName, UserID
from homeserver.storage import members, profiles, rooms, user_directory
from homeserver.storage.database import Database
from homeserver.storage.search import words_of
from homeserver.storage.transactions import Transaction
from homeserver.storage.user_directory import Row, Seen

Reach = Literal["shared_rooms", "all", "off"]
MOST_WORDS = 8
MOST_CANDIDATES = 2000
MOST_MEMBERSHIPS = 20_000
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was found."""

    user_id: str
    display_name: str | None
    avatar_url: str | None


@dataclass
class Names:
    """Collects the names of users elsewhere, so that they are found.  Any process may do it, at any time."""

    database: Database
    _busy: bool = field(default=False, init=False)

    async def collect(self) -> None:
        """Take in what is new."""
        if self._busy:
            return
        self._busy = True
        try:
            upto = self.database.now()
            seen = await self.database.read(user_directory.progress)
            for low, high in seen.ranges(upto):
                await self._range((low, "", ""), high)
            if not seen.reaches(upto):
                await self.database.write(user_directory.set_progress, upto)
        finally:
            self._busy = False

    async def _range(self, after: Row, high: int) -> None:
        while True:
            batch = await self.database.read(user_directory.members_after, after, high, BATCH)
            if not batch:
                return
            await self.database.write(user_directory.learn_members, [(place[1], name) for place, name in batch])
            after = batch[-1][0]


@dataclass(frozen=True)
class People:
    """The user directory of the server `name`; `reach` says whom it finds."""

    database: Database
    names: Names
    name: ServerName
    reach: Reach

    async def search(self, viewer: UserID, term: str, limit: int) -> tuple[list[Person], bool]:
        """Those with all the words in their name or id, the best first, and whether there are more."""
        words = words_of(term)[:MOST_WORDS]
        if self.reach == "off" or not words:
            return [], False
        await self.names.collect()
        found = await self.database.read(self._search, viewer, words)
        wanted = term.strip().lstrip("@").casefold()
        found.sort(key=lambda person: _rank(person, wanted))
        return found[:limit], len(found) > limit

    def _search(self, txn: Transaction, viewer: UserID, words: list[str]) -> list[Person]:
        start = max(words, key=len)
        near = set(user_directory.starting_with_near(txn, start, viewer, MOST_CANDIDATES))
        candidates = near | set(user_directory.starting_with(txn, start, MOST_CANDIDATES))
        candidates.discard(viewer)
        seen = self._seen(txn, viewer, candidates)
        ours = {user for user in candidates if user.endswith(f":{self.name}")}
        shown = ours if self.reach == "all" else ours & seen.keys()
        people = [*_locals(txn, user_directory.active(txn, shown)), *(_elsewhere(some) for user, some in seen.items() if user not in ours)]
        return [person for person in people if _matches(person, words)]

    def _seen(self, txn: Transaction, viewer: UserID, candidates: set[str]) -> dict[str, list[Seen]]:
        """The memberships of the candidates in rooms that the viewer is in, or that are open to everybody."""
        mine = set(members.joined_rooms(txn, viewer))
        found = user_directory.memberships(txn, candidates, MOST_MEMBERSHIPS)
        others = rooms.several(txn, {one.room_id for one in found} - mine)
        about = summaries.of(txn, others.values())
        open_ = {room_id for room_id, one in about.items() if one.join_rule == "public" or one.world_readable}
        seen: dict[str, list[Seen]] = {}
        for one in found:
            if one.room_id in mine or one.room_id in open_:
                seen.setdefault(one.user_id, []).append(one)
        return seen


def _locals(txn: Transaction, users: Iterable[str]) -> list[Person]:
    """Local users, by their profiles."""
    wanted = list(users)
    known = profiles.several(txn, wanted, ["displayname", "avatar_url"])
    fields = {user: {name: orjson.loads(value) for name, value in known.get(user, {}).items()} for user in wanted}
    return [Person(user, found.get("displayname"), found.get("avatar_url")) for user, found in fields.items()]


def _elsewhere(seen: list[Seen]) -> Person:
    """A user of another server, by the newest of the names that may be seen."""
    latest = max(seen, key=lambda one: (one.name is not None, one.position & (1 << 40) - 1))
    return Person(latest.user_id, latest.name, latest.avatar_url)


def _matches(person: Person, words: list[str]) -> bool:
    """Whether each word is the start of a word of the person's name or id."""
    own = words_of(f"{person.user_id} {person.display_name or ''}")
    return all(any(one.startswith(word) for one in own) for word in words)


def _rank(person: Person, wanted: str) -> tuple[bool, bool, str]:
    name, localpart = (person.display_name or "").casefold(), person.user_id[1:].partition(":")[0]
    exact = wanted in (name, localpart.casefold(), person.user_id[1:].casefold())
    return not exact, person.display_name is None, person.user_id
