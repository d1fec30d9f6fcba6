"""Tells clients and other servers that the keys of a local user have changed.  Changes no key.

Other servers follow a list by numbers: each change of a device has the number after the one before, and names that one as its `prev_id`.
So a server that missed one notices and reads the whole list.  What waits for a server that is down is therefore one row per user,
the newest change.  spec: server-server-api#device-management
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import ServerName, UserID
from homeserver.keys import published
from homeserver.storage import destinations, device_lists, devices, members
from homeserver.storage.database import Transaction

DEVICE_LIST, SIGNING_KEY = "m.device_list_update", "m.signing_key_update"


@dataclass(frozen=True)
class Announcer:
    """Speaks for the keys of local users.  `share_names`: whether other servers learn the names of devices."""

    share_names: bool

    def devices_changed(self, txn: Transaction, user_id: UserID, device_ids: Sequence[str]) -> None:
        """Devices of a local user were added, renamed or removed, or have other keys or signatures."""
        if device_lists.devices_changed(txn, user_id, device_ids):
            self.device_list(txn, user_id, _others(txn, user_id))

    def signing_keys_changed(self, txn: Transaction, user_id: UserID) -> None:
        """A local user has other cross-signing keys, or signatures on the master key."""
        device_lists.changed(txn, user_id)
        servers = _others(txn, user_id)
        if servers:
            content = {"user_id": user_id, **published.signing_keys(txn, user_id)}
            _post(txn, servers, SIGNING_KEY, content)

    def device_list(self, txn: Transaction, user_id: UserID, servers: Sequence[ServerName]) -> None:
        """Tell servers of the newest change of a list.  To those that follow it, this is the next number; others read the whole list."""
        latest = device_lists.latest(txn, user_id) if servers else device_lists.Latest(0, None)
        if latest.device_id is not None:
            content = self._update(txn, user_id, latest.stream_id, latest.device_id)
            _post(txn, servers, DEVICE_LIST, content)

    def _update(self, txn: Transaction, user_id: UserID, stream_id: int, device_id: str) -> dict[str, Any]:
        content: dict[str, Any] = {
            "user_id": user_id,
            "device_id": device_id,
            "stream_id": stream_id,
            "prev_id": [stream_id - 1] if stream_id > 1 else [],
        }
        device = devices.get(txn, user_id, device_id)
        if device is None:
            return {**content, "deleted": True}
        if device.display_name and self.share_names:
            content["device_display_name"] = device.display_name
        keys = published.device(txn, user_id, device_id)
        return content if keys is None else {**content, "keys": keys}


def _post(txn: Transaction, servers: Sequence[ServerName], edu_type: str, content: dict[str, Any]) -> None:
    """The newest EDU of its type about a user is the only one that waits."""
    destinations.post_edus(txn, servers, edu_type, content, f"{edu_type}/{content['user_id']}")


def _others(txn: Transaction, user_id: UserID) -> list[ServerName]:
    return [server for server in members.servers_sharing(txn, user_id) if server != user_id.domain]
