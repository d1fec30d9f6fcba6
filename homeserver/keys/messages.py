"""Messages from device to device: into the inboxes of local devices, and as EDUs to other servers.  Knows no content.

A message leaves in EDUs that are small enough for any server, each with an id that makes it arrive once.
spec: client-server-api#send-to-device-messaging, server-server-api#send-to-device-messaging
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.clock import Clock
from homeserver.errors import BadJSON, Refused
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName, UserID
from homeserver.identity import Identity
from homeserver.keys import shapes
from homeserver.storage import destinations, devices, to_device
from homeserver.storage.database import Database, Transaction

DIRECT = "m.direct_to_device"
ALL_DEVICES = "*"
MAX_MESSAGE = 60 * 1024  # a server takes EDUs of 64 KiB
MAX_RECIPIENTS = 20_000  # devices in one request
MAX_TYPE = 255

Contents = dict[str, dict[str, bytes]]  # user -> device or `*` -> content as JSON


@dataclass(frozen=True, slots=True)
class Sending:
    """What a device or another server sends: `txn_id` tells one sending from another, `origin` is '' for local senders."""

    sender: UserID
    type: str
    origin: str
    txn_id: str
    contents: Contents


def read(messages: Mapping[str, Any], event_type: str) -> Contents:
    """The contents in a request, each small enough to be sent on; raises a refusal."""
    if not 0 < len(event_type.encode("utf-8", "surrogatepass")) <= MAX_TYPE:
        raise BadJSON(f"The type of a message has 1 to {MAX_TYPE} bytes")
    contents: Contents = {}
    for user, by_device in messages.items():
        if not isinstance(by_device, dict):
            raise BadJSON(f"messages.{user}: expected an object")
        try:
            UserID.parse(user)
        except Malformed as error:
            raise BadJSON(f"messages: {error}") from None
        for device, content in by_device.items():
            if not isinstance(content, dict):
                raise BadJSON(f"messages.{user}.{device}: expected an object")
            shapes.identifier(device, f"messages.{user}: device")
            contents.setdefault(user, {})[device] = shapes.canonical_bytes(content, f"messages.{user}.{device}", MAX_MESSAGE)
    if sum(map(len, contents.values())) > MAX_RECIPIENTS:
        raise Refused(413, "M_TOO_LARGE", f"A message goes to at most {MAX_RECIPIENTS} devices at once")
    return contents


@dataclass(frozen=True)
class Messages:
    """Carries messages to devices."""

    database: Database
    identity: Identity
    clock: Clock

    async def send(self, sending: Sending) -> None:
        """Send what a local device sends; the same transaction again does nothing."""
        await self.database.write(send, sending, self.identity.name, self.clock.now())

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """An `m.direct_to_device` of `origin`; what is malformed or of a sender elsewhere is dropped."""
        sending = read_edu(origin, content)
        if sending is not None:
            await self.database.write(receive, sending, self.identity.name, self.clock.now())


def read_edu(origin: ServerName, content: Mapping[str, Any]) -> Sending | None:
    """The message in an EDU, or None if it cannot be one of `origin`.  Single contents that are malformed are left out."""
    event_type, message_id, messages = content.get("type"), content.get("message_id"), content.get("messages")
    if not (isinstance(event_type, str) and isinstance(message_id, str) and isinstance(messages, dict)):
        return None
    if not (0 < len(message_id) <= MAX_TYPE and 0 < len(event_type) <= MAX_TYPE) or "\0" in message_id + event_type:
        return None
    try:
        sender = UserID.parse(content.get("sender", ""))
    except Malformed:
        return None
    if sender.domain != origin:
        return None
    return Sending(sender, event_type, origin, message_id, dict(_good(messages, event_type)))


def _good(messages: Mapping[str, Any], event_type: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    for user, by_device in messages.items():
        if isinstance(by_device, dict):
            good: dict[str, bytes] = {}
            for device, content in by_device.items():
                try:
                    good.update(read({user: {device: content}}, event_type)[user])
                except Refused:
                    continue
            yield user, good


def send(txn: Transaction, sending: Sending, name: ServerName, now: int) -> None:
    """Put messages into inboxes here, and into the queues to other servers."""
    if to_device.seen(txn, sending.origin, sending.sender, sending.txn_id, now):
        return
    _deliver(txn, sending, name, now)
    for server, contents in _elsewhere(sending.contents, name).items():
        for number, part in enumerate(_parts(contents)):
            edu_id = _id(sending, now, server, number)
            content = {"sender": sending.sender, "type": sending.type, "message_id": edu_id, "messages": part}
            destinations.post_edu(txn, server, DIRECT, content, f"to_device/{edu_id}")


def receive(txn: Transaction, sending: Sending, name: ServerName, now: int) -> None:
    """Put messages of another server's user into inboxes, once."""
    if not to_device.seen(txn, sending.origin, sending.sender, sending.txn_id, now):
        _deliver(txn, sending, name, now)


def _deliver(txn: Transaction, sending: Sending, name: ServerName, now: int) -> None:
    local = {user: contents for user, contents in sending.contents.items() if user.partition(":")[2] == name}
    head = b'{"sender":' + orjson.dumps(str(sending.sender)) + b',"type":' + orjson.dumps(sending.type) + b',"content":'
    messages: dict[tuple[str, str], bytes] = {}
    for user, existing in devices.names(txn, local).items():
        for device in existing:
            content = local[user].get(device, local[user].get(ALL_DEVICES))
            if content is not None:
                messages[user, device] = head + content + b"}"
    to_device.deliver(txn, sending.sender, messages, now)


def _elsewhere(contents: Contents, name: ServerName) -> dict[ServerName, Contents]:
    found: dict[ServerName, Contents] = {}
    for user, by_device in contents.items():
        server = UserID(user).domain
        if server != name:
            found.setdefault(server, {})[user] = by_device
    return found


def _parts(contents: Contents) -> Iterator[dict[str, dict[str, Any]]]:
    """The contents for one server, in parts that fit into an EDU."""
    part: dict[str, dict[str, Any]] = {}
    size = 0
    for user, by_device in contents.items():
        for device, content in by_device.items():
            more = len(content) + len(user.encode()) + len(device.encode()) + 16
            if part and size + more > MAX_MESSAGE:
                yield part
                part, size = {}, 0
            part.setdefault(str(user), {})[device] = orjson.loads(content)
            size += more
    if part:
        yield part


def _id(sending: Sending, now: int, server: str, number: int) -> str:
    """An id for an EDU: the same when the act is run again, another for every other EDU."""
    what = "\0".join((sending.sender, sending.txn_id, str(now), server, str(number)))
    return hashlib.blake2b(what.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
