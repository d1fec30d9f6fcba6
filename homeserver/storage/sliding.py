"""Connections of sliding sync and what their clients were told, as rows.  Knows nothing of what a state says.

A state is written as what differs from the one that the client had, so that a change costs what changed.  States that no answer
leads to any more are removed with the next write.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.storage.transactions import Retry, Transaction

MOST_OF_DEVICE = 20
EXPIRY_MS = 30 * 24 * 3600 * 1000
SWEPT = 50  # expired connections that are removed at a time
LONGEST_CHAIN = 24
MOST_ANSWERS = 4  # that were given to the same request, of which the client may have any


@dataclass(frozen=True, slots=True)
class Connection:
    """One sync loop of one device."""

    user_id: str
    device_id: str
    name: str

    @property
    def device(self) -> tuple[str, str]:
        """Whose it is."""
        return self.user_id, self.device_id


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection that was opened, and its first state."""

    owner: Connection
    number: int
    state: bytes


def used(txn: Transaction, number: int, generation: int, connection: Connection) -> int | None:
    """When the connection with that number was last used; None if this device has none under this name, or not in this state."""
    found: int | None = txn.value(
        "SELECT used_ts FROM sliding_connections JOIN sliding_states ON connection = id AND generation = :generation"
        " WHERE id = :id AND user_id = :user AND device_id = :device AND name = :name",
        id=number, generation=generation, user=connection.user_id, device=connection.device_id, name=connection.name,
    )  # fmt: skip
    return found


def use(txn: Transaction, number: int, now: int) -> None:
    """The connection is used."""
    txn.run("UPDATE sliding_connections SET used_ts = :now WHERE id = :id", id=number, now=now)


def states(txn: Transaction, number: int, generation: int) -> list[bytes]:
    """The state of that generation: the whole one that it began with, then what changed, oldest first; empty if it is gone."""
    rows = txn.all("SELECT generation, parent, state FROM sliding_states WHERE connection = :id", id=number)
    found = {row[0]: (row[1], bytes(row[2])) for row in rows}
    chain: list[bytes] = []
    at: int | None = generation
    while at is not None:
        if at not in found:
            return []
        at, state = found[at]
        chain.append(state)
    return chain[::-1]


def open_connections(txn: Transaction, opened: Sequence[Opened], now: int) -> None:
    """New connections, the latest last, each in the place of the one of its name.  Their first state is generation 1.

    Devices that are gone get none.
    """
    devices = list({one.owner.device for one in opened})
    here = set(txn.all("SELECT user_id, device_id FROM devices WHERE (user_id, device_id) IN :devices", devices=devices))
    expired = txn.all("SELECT id FROM sliding_connections WHERE used_ts < :old LIMIT :most", old=now - EXPIRY_MS, most=SWEPT)
    rows = txn.all(
        "SELECT id, user_id, device_id, name FROM sliding_connections WHERE (user_id, device_id) IN :devices"
        " ORDER BY used_ts DESC, id DESC",
        devices=devices,
    )
    latest: dict[tuple[str, str], list[Opened]] = {}
    for one in opened:
        if not one.owner.device_id or one.owner.device in here:
            latest.setdefault(one.owner.device, []).append(one)
    new = [one for some in latest.values() for one in some[-MOST_OF_DEVICE:]]
    names, left = {one.owner for one in new}, {device: MOST_OF_DEVICE - len(some) for device, some in latest.items()}
    old = [number for (number,) in expired]
    for number, *owner in rows:
        other = Connection(*owner)
        left[other.device] = left.get(other.device, 0) - (other not in names)
        if other in names or left[other.device] < 0:
            old.append(number)
    _remove(txn, old)
    for one in new:
        _add(txn, one, now)


def _add(txn: Transaction, opened: Opened, now: int) -> None:
    owner = opened.owner
    added = txn.run(
        "INSERT INTO sliding_connections (id, user_id, device_id, name, used_ts) VALUES (:id, :user, :device, :name, :now)"
        " ON CONFLICT (user_id, device_id, name) DO NOTHING",
        id=opened.number, user=owner.user_id, device=owner.device_id, name=owner.name, now=now,
    )  # fmt: skip
    if not added:
        raise Retry("another process has just opened a connection of this name")
    txn.insert("sliding_states", connection=opened.number, generation=1, parent=None, state=opened.state)


def add_state(txn: Transaction, number: int, parent: int, change: bytes, whole: bytes) -> int | None:
    """The next generation, given to a client that had `parent`; None if that, or the connection, is gone.

    `parent` stays until the client comes back with a later one: the answer may be lost.
    """
    if txn.lock("SELECT id FROM sliding_connections WHERE id = :id FOR UPDATE", id=number) is None:
        return None
    rows = txn.all("SELECT generation, parent, LENGTH(state) FROM sliding_states WHERE connection = :id", id=number)
    parents = {row[0]: row[1] for row in rows}
    sizes = {row[0]: row[2] for row in rows}
    chain, at = [], parent
    while at in parents:
        chain.append(at)
        at = parents[at]
    if not chain:
        return None
    later = sorted(generation for generation in parents if generation > parent)
    gone = [generation for generation in parents if generation < parent and generation not in chain]
    gone += later[: max(0, len(later) - MOST_ANSWERS + 1)]
    if gone:
        txn.run("DELETE FROM sliding_states WHERE connection = :id AND generation IN :gone", id=number, gone=gone)
    long = len(chain) >= LONGEST_CHAIN or sum(sizes[link] for link in chain[:-1]) > sizes[chain[-1]] + 2000
    generation: int = max(parents) + 1
    txn.insert(
        "sliding_states", connection=number, generation=generation, parent=None if long else parent, state=whole if long else change
    )
    return generation


def remove_of_devices(txn: Transaction, user_id: str, device_ids: Sequence[str]) -> None:
    """The devices are gone: so are their connections."""
    rows = txn.all(
        "SELECT id FROM sliding_connections WHERE user_id = :user AND device_id IN :devices", user=user_id, devices=list(device_ids)
    )
    _remove(txn, [number for (number,) in rows])


def _remove(txn: Transaction, numbers: Sequence[int]) -> None:
    if numbers:
        txn.run("DELETE FROM sliding_states WHERE connection IN :numbers", numbers=list(numbers))
        txn.run("DELETE FROM sliding_connections WHERE id IN :numbers", numbers=list(numbers))
