"""One-time keys for those who want to begin an encrypted session: each is handed out once.

spec: client-server-api#post_matrixclientv3keysclaim
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Refused
from homeserver.events.identifiers import ServerName
from homeserver.identity import Identity
from homeserver.keys import shapes
from homeserver.keys.elsewhere import Elsewhere, Failures, by_server
from homeserver.storage import feed, one_time_keys
from homeserver.storage.database import Database, Transaction
from homeserver.storage.one_time_keys import Taken

Wanted = Mapping[str, Mapping[str, str]]  # user -> device -> algorithm
Claimed = dict[str, dict[str, dict[str, Any]]]  # user -> device -> name -> key, which may be JSON bytes

USERS_AT_ONCE = 100  # one act's share of a large claim, so that others get their turn


@dataclass(frozen=True)
class Claims:
    """Who hands out one-time keys: this server for its users, other servers for theirs."""

    database: Database
    identity: Identity
    elsewhere: Elsewhere

    async def claim(self, wanted: Wanted, timeout: float) -> tuple[Claimed, Failures]:
        """A key for each device, where there is one, and which servers could not be asked."""
        mine = {user: devices for user, devices in wanted.items() if self.identity.is_mine(user)}
        theirs = by_server({user: devices for user, devices in wanted.items() if user not in mine})
        claimed = await self.local(mine)
        failures: Failures = {}
        for server, answer in await self.elsewhere.ask(theirs, self._ask, timeout, failures):
            claimed.update(read(theirs[server], answer))
        return claimed, failures

    async def local(self, wanted: Wanted) -> Claimed:
        """Keys of local users' devices; users elsewhere and unknown devices are passed over."""
        mine = [(user, devices) for user, devices in wanted.items() if self.identity.is_mine(user)]
        claimed: Claimed = {}
        for start in range(0, len(mine), USERS_AT_ONCE):
            claimed.update(await self.database.write(claim, dict(mine[start : start + USERS_AT_ONCE])))
        return claimed

    async def _ask(self, server: ServerName, wanted: Wanted, timeout: float) -> Any:
        return await self.elsewhere.peers.claim_keys(server, {"one_time_keys": wanted}, timeout)


def claim(txn: Transaction, wanted: Wanted) -> Claimed:
    """Take one key of each device of these local users, its fallback key if there is none left."""
    by_algorithm: dict[str, set[tuple[str, str]]] = {}
    for user, devices in wanted.items():
        for device, algorithm in devices.items():
            by_algorithm.setdefault(algorithm, set()).add((user, device))
    claimed: Claimed = {}
    for algorithm, asked in by_algorithm.items():
        taken = one_time_keys.claim(txn, algorithm, asked)
        spare = one_time_keys.claim_fallback(txn, algorithm, asked - taken.keys())
        for (user, device), key in (*taken.items(), *spare.items()):
            claimed.setdefault(user, {})[device] = {key.name: key.key}
        _tell(txn, Taken(algorithm, fallback=False), taken)
        _tell(txn, Taken(algorithm, fallback=True), spare)
    return claimed


def _tell(txn: Transaction, what: Taken, devices: Iterable[tuple[str, str]]) -> None:
    """Their counts have changed."""
    keys = [f"{user}/{device}" for user, device in devices]
    if keys:
        feed.note(txn, txn.position(*keys), what, 200)
        txn.wake(*keys)


def read(wanted: Wanted, answer: Any) -> Claimed:
    """What another server handed out, as far as it was asked for and has the shape of keys."""
    claimed: Claimed = {}
    found = answer.get("one_time_keys") if isinstance(answer, dict) else None
    for user, devices in wanted.items():
        given = found.get(user) if isinstance(found, dict) else None
        for device, algorithm in devices.items():
            keys = given.get(device) if isinstance(given, dict) else None
            for name, value in list(keys.items())[:1] if isinstance(keys, dict) else []:
                try:
                    key = shapes.one_time_key(name, value)
                except Refused:
                    continue
                if key.algorithm == algorithm:
                    claimed.setdefault(user, {})[device] = {key.name: key.key}
    return claimed
