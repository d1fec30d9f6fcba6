"""What a client must learn about keys since its last sync.  Reads only.

`device_lists(txn, user, since, upto)` is for /sync and /keys/changes; counts of keys and waiting messages are functions of
`storage.one_time_keys` (counts, unused_fallback_types) and `storage.to_device` (waiting, acknowledge).
"""

from dataclasses import dataclass

from homeserver.storage import device_lists as lists
from homeserver.storage.database import Transaction
from homeserver.storage.positions import Token


@dataclass(frozen=True, slots=True)
class DeviceLists:
    """Users whose keys must be asked for again, and users with whom no room is shared any more."""

    changed: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.left)

    def encode(self) -> dict[str, list[str]]:
        """As it stands in an answer."""
        return {"changed": sorted(self.changed), "left": sorted(self.left)}


def device_lists(txn: Transaction, user_id: str, since: Token | None, upto: Token) -> DeviceLists:
    """What changed for `user_id` between the tokens; nothing without `since`, because a new client knows nobody yet."""
    if since is None:
        return DeviceLists()
    changed: set[str] = set()
    gone: set[str] = set()
    for low, high in since.ranges(upto):
        changed |= lists.changed_for(txn, user_id, low, high) | lists.signed_by(txn, user_id, low, high)
        came, went = lists.came_and_went(txn, user_id, low, high)
        joined, left = lists.own_rooms(txn, user_id, low, high)
        changed |= came | lists.joined_members(txn, joined)
        gone |= went | lists.joined_members(txn, left) | lists.gone_members(txn, left, low, high)
    gone -= changed | {user_id}
    return DeviceLists(frozenset(changed), frozenset(gone - lists.sharing(txn, user_id, gone)))
