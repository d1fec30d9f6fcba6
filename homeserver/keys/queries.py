"""Identity keys of any users: of local ones from the store, of remote ones from what is followed, else from their servers.

A remote list that is read while a room is shared is kept, and is good until its server says otherwise (`following`).  spec:
client-server-api#post_matrixclientv3keysquery
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.events.identifiers import ServerName, UserID
from homeserver.federation.deferring import Shared, every
from homeserver.federation.failures import Answered
from homeserver.identity import Identity
from homeserver.keys import following, published
from homeserver.keys.elsewhere import Elsewhere, Failures, by_server
from homeserver.keys.published import Found, Wanted
from homeserver.storage import device_lists
from homeserver.storage.database import Database, Transaction

FEW = 4  # so many lists of one server are read one by one, each with its number; more in one request


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query found in the store, and what is left to ask: user -> devices."""

    found: Found
    missing: dict[str, Sequence[str]]
    followable: frozenset[str]
    generations: dict[str, int]


@dataclass(frozen=True)
class Queries:
    """Who knows which keys."""

    database: Database
    identity: Identity
    elsewhere: Elsewhere
    share_names: bool = False
    _shared: Shared[Any, Any] = field(default_factory=Shared)

    async def query(self, viewer: UserID, wanted: Wanted, timeout: float) -> tuple[Found, Failures]:
        """The keys of these users as `viewer` may see them, and which servers could not be asked."""
        plan = await self.database.read(_plan, wanted, viewer, self.identity.name)
        failures: Failures = {}
        if plan.missing:
            answers = await self.elsewhere.ask(
                by_server(plan.missing), lambda server, users, left: self._ask(server, users, plan, left), timeout, failures
            )
            users = [user for _, answered in answers for user in answered]
            for _, answered in answers:
                for read in answered.values():
                    plan.found.add(read.found)
            await self.database.read(_sign, plan.found, viewer, users)
        return plan.found, failures

    async def local(self, wanted: Wanted) -> Found:
        """The keys of local users as another server may see them."""
        mine = {user: devices for user, devices in wanted.items() if self.identity.is_mine(user)}
        return await self.database.read(published.known, mine, None, local=True, named=self.share_names)

    async def device_list(self, user_id: UserID) -> dict[str, Any]:
        """All devices of a local user, for a server that follows the list."""
        return await self.database.read(published.device_list, user_id, named=self.share_names)

    async def _ask(self, server: ServerName, users: Mapping[str, Sequence[str]], plan: Plan, timeout: float) -> dict[str, following.Read]:
        """What a server says about its users.  Whole lists that may be followed are kept."""
        whole = [user for user in users if user in plan.followable]
        if len(whole) > FEW:
            whole = []
        rest = {user: devices for user, devices in users.items() if user not in whole}
        works = [self._list(server, user, plan.generations.get(user), timeout) for user in whole]
        if rest:
            works.append(self._query(server, rest, timeout))
        reads: dict[str, following.Read] = {}
        for outcome in await every(works):
            if isinstance(outcome, Exception):
                raise outcome
            reads.update(outcome)
        keep = {user: read for user, read in reads.items() if user in plan.followable}
        if keep:
            await self.database.write(following.keep, keep, plan.generations)
        return reads

    async def _list(self, server: ServerName, user: str, generation: int | None, timeout: float) -> dict[str, following.Read]:
        # An answer that was on its way when an update came in is not the answer to a question asked after the update.
        key = (server, user, generation)
        try:
            answer = await self._shared.do(key, lambda: self.elsewhere.peers.user_devices(server, user, timeout))
        except Answered:
            # One user whose list is refused is no reason to do without those of all others there.
            return await self._query(server, {user: ()}, timeout)
        return {user: following.read_list(user, answer)}

    async def _query(self, server: ServerName, users: Mapping[str, Sequence[str]], timeout: float) -> dict[str, following.Read]:
        body = {"device_keys": {user: list(devices) for user, devices in users.items()}}
        answer = await self.elsewhere.peers.query_keys(server, body, timeout)
        return {user: following.read_query(user, answer, users[user]) for user in users}


def _plan(txn: Transaction, wanted: Wanted, viewer: str, name: ServerName) -> Plan:
    mine = {user: devices for user, devices in wanted.items() if user.partition(":")[2] == name}
    theirs = {user: devices for user, devices in wanted.items() if user not in mine}
    found = published.known(txn, mine, viewer, local=True)
    ours = device_lists.in_our_rooms(txn, theirs)
    lists = device_lists.followed(txn, ours)
    good = {user: theirs[user] for user, known in lists.items() if not known.stale}
    if good:
        found.add(published.known(txn, good, viewer, local=False))
    missing = {user: devices for user, devices in theirs.items() if user not in good}
    # To follow a list means to know all of it.
    followable = frozenset(user for user in ours if user in missing and not missing[user])
    return Plan(found, missing, followable, {user: known.generation for user, known in lists.items()})


def _sign(txn: Transaction, found: Found, viewer: str, users: Sequence[str]) -> None:
    """Add the viewer's own signatures to master keys that came from elsewhere."""
    following.add_signatures(txn, found, viewer, users)
