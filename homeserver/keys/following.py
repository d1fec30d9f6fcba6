"""Device lists of remote users: kept while a room is shared, changed by what their servers tell, forgotten when the last room is left.

Nothing is asked for here.  What does not fit together makes a list stale: clients learn that it changed, and the first query reads it
anew.  So a storm of updates costs no requests.  spec: server-server-api#device-management
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import Refused
from homeserver.events import signing
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.identifiers import ServerName, UserID
from homeserver.keys import published, shapes
from homeserver.keys.published import Found
from homeserver.storage import cross_signing, device_keys, device_lists
from homeserver.storage.cross_signing import MASTER, SELF_SIGNING, CrossSigningKey
from homeserver.storage.database import Database, Transaction
from homeserver.storage.device_keys import RemoteDevice
from homeserver.storage.rooms import Room

MAX_DEVICES = 1000  # of one remote user
MAX_NAME = 256
MAX_STREAM = 2**53


@dataclass(frozen=True, slots=True)
class Read:
    """What a server said about one of its users, as far as it has the shape of keys.  `stream_id`: where its list was."""

    user_id: str
    stream_id: int | None
    devices: tuple[RemoteDevice, ...]
    signing: tuple[CrossSigningKey, ...]

    @property
    def found(self) -> Found:
        """The same as the answer to a query."""
        found = Found({self.user_id: {device.device_id: _shown(device) for device in self.devices if device.keys is not None}})
        for key in self.signing:
            (found.master_keys if key.usage == MASTER else found.self_signing_keys)[self.user_id] = key.keys
        return found


def _shown(device: RemoteDevice) -> bytes:
    assert device.keys is not None
    unsigned = {"device_display_name": device.display_name} if device.display_name else {}
    return device.keys[:-1] + b',"unsigned":' + orjson.dumps(unsigned) + b"}"


# Reading answers


def read_list(user_id: str, answer: Any) -> Read:
    """The answer of GET /user/devices."""
    entries = answer.get("devices") if isinstance(answer, dict) else None
    devices = []
    for entry in entries[:MAX_DEVICES] if isinstance(entries, list) else []:
        if isinstance(entry, dict) and (device := _device(user_id, entry.get("device_id"), entry.get("keys"), entry)):
            devices.append(device)
    found = answer if isinstance(answer, dict) else {}
    unique = {device.device_id: device for device in devices}
    return Read(user_id, _stream(found.get("stream_id")), tuple(unique.values()), _signing(user_id, found))


def read_query(user_id: str, answer: Any, asked: Sequence[str]) -> Read:
    """What the answer of POST /user/keys/query says about one user."""

    def part(name: str) -> Any:
        whole = answer.get(name) if isinstance(answer, dict) else None
        return whole.get(user_id) if isinstance(whole, dict) else None

    entries = part("device_keys")
    devices = []
    for device_id, keys in list(entries.items())[:MAX_DEVICES] if isinstance(entries, dict) else []:
        unsigned = keys.get("unsigned") if isinstance(keys, dict) else None
        if asked and device_id not in asked:
            continue
        if device := _device(user_id, device_id, keys, unsigned if isinstance(unsigned, dict) else {}):
            devices.append(device)
    signing_keys = {"master_key": part("master_keys"), "self_signing_key": part("self_signing_keys")}
    return Read(user_id, None, tuple(devices), _signing(user_id, signing_keys))


def _device(user_id: str, device_id: Any, keys: Any, described: Mapping[str, Any]) -> RemoteDevice | None:
    name = described.get("device_display_name")
    name = name[:MAX_NAME] if isinstance(name, str) and "\0" not in name else None
    try:
        device = shapes.identifier(device_id, "device_id")
        return RemoteDevice(device, shapes.device_keys(keys, user_id, device) if isinstance(keys, dict) else None, name)
    except Refused:
        return None


def _signing(user_id: str, answer: Mapping[str, Any]) -> tuple[CrossSigningKey, ...]:
    """The master key, and the self-signing key if the master key signed it."""
    found = []
    for usage in (MASTER, SELF_SIGNING):
        value = answer.get(f"{usage}_key")
        try:
            if isinstance(value, dict):
                found.append(shapes.cross_signing_key(value, user_id, usage))
        except Refused:
            continue
    return tuple(key for key in found if key.usage == MASTER or _signed_by_master(user_id, key, found[0]))


def _signed_by_master(user_id: str, key: CrossSigningKey, master: CrossSigningKey) -> bool:
    try:
        signing.verify_json(key.data, user_id, f"ed25519:{master.public_key}", signing.decode_base64(master.public_key))
    except (BadSignature, Malformed):
        return False
    return True


def _stream(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_STREAM else None


# Keeping


def keep(txn: Transaction, reads: Mapping[str, Read], generations: Mapping[str, int]) -> None:
    """Store lists that were read as a whole, unless an update came in while they were read or no room is shared any more."""
    known = device_lists.followed(txn, reads)
    for user in device_lists.in_our_rooms(txn, reads):
        generation = known[user].generation if user in known else None
        if generation == generations.get(user):
            _replace(txn, reads[user])


def _replace(txn: Transaction, read: Read) -> None:
    device_keys.replace_remote(txn, read.user_id, list(read.devices))
    cross_signing.remove(txn, read.user_id)
    for key in read.signing:
        cross_signing.put(txn, read.user_id, key)
    device_lists.learned(txn, read.user_id, read.stream_id)


def add_signatures(txn: Transaction, found: Found, viewer: str, users: Sequence[str]) -> None:
    """Add the signatures that a local viewer made to master keys that came from elsewhere."""
    for one in cross_signing.signatures(txn, users, viewer):
        master = found.master_keys.get(one.target_user)
        if master is None:
            continue
        data = orjson.loads(master) if isinstance(master, bytes) else master
        if f"ed25519:{one.target_id}" in data["keys"]:
            found.master_keys[one.target_user] = published.with_signatures(data, [one])


# Updates


@dataclass(frozen=True, slots=True)
class Update:
    """An `m.device_list_update` that has the right shape."""

    user_id: UserID
    stream_id: int
    prev_ids: frozenset[int]
    device: RemoteDevice
    deleted: bool


@dataclass(frozen=True)
class Following:
    """Listens to what other servers say about the keys of their users."""

    database: Database

    async def device_list_update(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """`m.device_list_update` from `origin`; what is malformed or about users of other servers is dropped."""
        update = read_update(origin, content)
        if update is not None:
            await self.database.write(apply_update, update)

    async def signing_key_update(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """`m.signing_key_update` from `origin`; what is malformed or about users of other servers is dropped."""
        user = _user_of(origin, content)
        if user is not None:
            await self.database.write(apply_signing_keys, user, _signing(user, content))


def _user_of(origin: ServerName, content: Mapping[str, Any]) -> UserID | None:
    try:
        user = UserID.parse(content.get("user_id", ""))
    except Malformed:
        return None
    return user if user.domain == origin else None


def read_update(origin: ServerName, content: Mapping[str, Any]) -> Update | None:
    """The update, or None if it cannot be one of `origin`."""
    user, stream_id = _user_of(origin, content), _stream(content.get("stream_id"))
    previous = content.get("prev_id", [])
    if user is None or stream_id is None or not isinstance(previous, list):
        return None
    device = _device(user, content.get("device_id"), content.get("keys"), content)
    if device is None:
        return None
    prev_ids = frozenset(one for one in map(_stream, previous) if one is not None)
    return Update(user, stream_id, prev_ids, device, content.get("deleted") is True)


def apply_update(txn: Transaction, update: Update) -> None:
    """Change one device of a followed list if nothing was missed, else leave the list to be read anew."""
    user = update.user_id
    if user not in device_lists.in_our_rooms(txn, [user]):
        return
    known = device_lists.followed(txn, [user]).get(user)
    # Without a `prev_id` the number says nothing either: some servers always send the same one.
    if update.prev_ids and known is not None and not known.stale and known.stream_id is not None:
        if update.stream_id <= known.stream_id:
            return
        if max(update.prev_ids) <= known.stream_id:
            if _apply_device(txn, update):
                device_lists.changed(txn, user)
            device_lists.heard(txn, user, update.stream_id, stale=False)
            return
    device_lists.heard(txn, user, None, stale=True)
    # A list that nobody has read, and a device without keys: nobody can have missed anything.
    if known is not None or update.device.keys is not None or update.deleted:
        device_lists.changed(txn, user)


def _apply_device(txn: Transaction, update: Update) -> bool:
    if update.deleted:
        device_keys.remove(txn, update.user_id, [update.device.device_id])
        return True
    return device_keys.put_remote(txn, update.user_id, update.device)


def apply_signing_keys(txn: Transaction, user: UserID, keys: Sequence[CrossSigningKey]) -> None:
    """Replace the cross-signing keys of a followed list."""
    if user not in device_lists.in_our_rooms(txn, [user]):
        return
    known = device_lists.followed(txn, [user]).get(user)
    if known is None or known.stale or not keys:
        device_lists.heard(txn, user, None, stale=True)
    else:
        cross_signing.remove(txn, user)
        for key in keys:
            cross_signing.put(txn, user, key)
        device_lists.heard(txn, user, known.stream_id, stale=False)
    device_lists.changed(txn, user)


# Rooms


def moved(txn: Transaction, room: Room, user: str) -> None:
    """Somebody joined or left: forget the lists of those with whom no other room is shared, and that may have changed untold."""
    device_lists.unfollow(txn, room.room_id, None if room.departed else user)
