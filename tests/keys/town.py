"""A town of servers that know nothing but keys: real databases and acts; the network is a function call, memberships are rows."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from nacl.signing import SigningKey
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as Reactor

from homeserver.accounts.devices import Devices, Lifetimes
from homeserver.clock import Clock
from homeserver.events import signing, versions
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.federation.failures import Unreachable
from homeserver.identity import Identity
from homeserver.keys import changes, signing_keys, uploads
from homeserver.keys.announce import Announcer
from homeserver.keys.backups import Backups
from homeserver.keys.claims import Claims
from homeserver.keys.dehydration import Dehydration
from homeserver.keys.devices import DeviceWatch
from homeserver.keys.elsewhere import Elsewhere
from homeserver.keys.following import Following
from homeserver.keys.joining import RoomWatch
from homeserver.keys.messages import Messages, Sending, read
from homeserver.keys.queries import Queries
from homeserver.keys.signatures import Signatures
from homeserver.keys.signing_keys import SigningKeys
from homeserver.keys.uploads import Uploads
from homeserver.storage import destinations, members, one_time_keys, rooms, to_device
from homeserver.storage.database import Transaction
from homeserver.storage.devices import Device
from homeserver.storage.events import Status, Stored
from homeserver.storage.positions import Token
from homeserver.storage.rooms import Room
from tests import databases

T = TypeVar("T")
V12 = versions.get("12")


class Town:
    """Servers on one clock; `down` are those that nobody reaches."""

    def __init__(self, engine: str = "sqlite") -> None:
        self.engine, self.reactor = engine, Reactor()
        self.clock = Clock(self.reactor, 1_700_000_000_000)
        self.houses: dict[str, House] = {}
        self.down: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self._numbers = itertools.count(1)

    def server(self, name: str) -> House:
        """A new server."""
        house = self.houses[name] = House(self, ServerName(name))
        return house

    def result(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` comes to; time passes while it waits."""
        deferred = Deferred.fromCoroutine(work)
        for _ in range(100):
            if deferred.called:
                break
            self.reactor.advance(1)
        outcome: list[Any] = []
        deferred.addBoth(outcome.append)
        if hasattr(outcome[0], "raiseException"):
            outcome[0].raiseException()
        return outcome[0]  # type: ignore[no-any-return]

    def room(self, room_id: str, *people: Person) -> None:
        """Everybody joins, and all queues are emptied."""
        for person in people:
            self.moves(person, room_id, "join")
        self.deliver()

    def moves(self, person: Person, room_id: str, membership: str) -> None:
        """A membership changes on every server that has somebody in the room, or gets somebody now."""
        user = person.user_id
        event = Event(
            V12, EventID(f"${next(self._numbers)}"), RoomID(room_id), "m.room.member", user, user, {"membership": membership},
            1, self.clock.now(), (), (), b"{}", b"{}",
        )  # fmt: skip
        if membership == "join":
            self._copy(person.house, room_id)
        for house in self.houses.values():
            house.result(house.database.write(house.member, event))

    def _copy(self, joining: House, room_id: str) -> None:
        """A server that joins a room learns who is in it."""
        for house in self.houses.values():
            for user, event_id in house.result(house.database.read(_joined, room_id)):
                if user not in {known for known, _ in joining.result(joining.database.read(_joined, room_id))}:
                    event = Event(
                        V12, EventID(event_id), RoomID(room_id), "m.room.member", UserID(user), user, {"membership": "join"},
                        1, self.clock.now(), (), (), b"{}", b"{}",
                    )  # fmt: skip
                    joining.result(joining.database.write(joining.member, event, copying=True))

    def deliver(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Empty the queues of all servers towards those that are up; answers what arrived: (server, type, content)."""
        delivered = []
        for house in self.houses.values():
            for (server,) in house.result(house.database.read(lambda txn: txn.all("SELECT DISTINCT server FROM outgoing_edus"))):
                if server in self.down or server not in self.houses or house.name in self.down:
                    continue
                waiting = house.result(house.database.read(destinations.waiting_edus, server, 1000))
                for edu in waiting:
                    assert len(edu.content) <= 65536
                    content = orjson.loads(edu.content)
                    self.houses[server].hears(house.name, edu.edu_type, content)
                    delivered.append((server, edu.edu_type, content))
                house.result(house.database.write(destinations.drop_edus, server, [edu.position for edu in waiting]))
        return delivered


def _joined(txn: Transaction, room_id: str) -> list[tuple[str, str]]:
    return txn.all("SELECT user_id, event_id FROM members WHERE room_id = :room AND membership = 'join'", room=room_id)


@dataclass(frozen=True)
class Road:
    """Calls to other servers."""

    town: Town
    me: str

    async def query_keys(self, server: ServerName, body: dict[str, Any], timeout: float) -> Any:
        found = await self._house(server, "query").queries.local(body["device_keys"])
        return _json({"device_keys": found.device_keys, "master_keys": found.master_keys, "self_signing_keys": found.self_signing_keys})

    async def claim_keys(self, server: ServerName, body: dict[str, Any], timeout: float) -> Any:
        return _json({"one_time_keys": await self._house(server, "claim").claims.local(body["one_time_keys"])})

    async def user_devices(self, server: ServerName, user_id: str, timeout: float) -> Any:
        return _json(await self._house(server, "devices").queries.device_list(UserID(user_id)))

    def _house(self, server: str, what: str) -> House:
        self.town.asked.append((server, what))
        if server in self.town.down or server not in self.town.houses:
            raise Unreachable(server, "is down")
        return self.town.houses[server]


def _json(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, default=lambda raw: orjson.Fragment(raw), option=orjson.OPT_NON_STR_KEYS))


class House:
    """One server."""

    def __init__(self, town: Town, name: ServerName) -> None:
        self.town, self.name, self.result = town, name, town_result(town)
        self.database = databases.fresh(town.engine, town.reactor)
        self.announcer = Announcer(share_names=True)
        identity = Identity(name, ())
        elsewhere = Elsewhere(Road(town, name), town.clock)
        self.uploads = Uploads(self.database, self.announcer)
        self.queries = Queries(self.database, identity, elsewhere, share_names=True)
        self.claims = Claims(self.database, identity, elsewhere)
        self.signing_keys = SigningKeys(self.database, self.announcer)
        self.signatures = Signatures(self.database, self.queries, self.announcer)
        self.messages = Messages(self.database, identity, town.clock)
        self.backups = Backups(self.database)
        self.following = Following(self.database)
        self.watch = RoomWatch(name, self.announcer)
        self.devices = Devices(self.database, town.clock, {}, Lifetimes(), (DeviceWatch(self.announcer),))  # type: ignore[arg-type]
        self.dehydration = Dehydration(self.database, self.devices, self.uploads, town.clock)

    def person(self, name: str, *device_ids: str) -> Person:
        """An account with devices."""
        person = Person(self, UserID(f"@{name}:{self.name}"))
        for device_id in device_ids:
            person.logs_in(device_id)
        return person

    def hears(self, origin: str, edu_type: str, content: dict[str, Any]) -> None:
        """An EDU arrives."""
        act = {
            "m.device_list_update": self.following.device_list_update,
            "m.signing_key_update": self.following.signing_key_update,
            "m.direct_to_device": self.messages.receive,
        }[edu_type]
        self.result(act(ServerName(origin), content))

    def member(self, txn: Transaction, event: Event, copying: bool = False) -> None:
        """Write a membership as the timeline would, where this server is or comes to be in the room."""
        user = UserID(event.state_key or "")
        local, known = user.domain == self.name, txn.value("SELECT 1 FROM rooms WHERE room_id = :room", room=event.room_id)
        if not known and not local and not copying:
            return
        if not known:
            row = "INSERT INTO rooms VALUES (:room, '12', '@c:x', 1, :none, :none, 1, 0, 0, NULL, 0, 0, 0, 0, 0, 1, 0)"
            txn.run(row, room=event.room_id, none=b"[]")
        stored = Stored(event, txn.number(), Status.ACCEPTED, None, txn.position(), None, None, None, None, None)
        assert stored.position is not None
        before = members.set_member(txn, stored, stored.position, local=local)
        txn.run(
            "INSERT INTO state_changes VALUES (:room, :position, 'm.room.member', :user, :num)",
            room=event.room_id, position=stored.position, user=user, num=stored.num,
        )  # fmt: skip
        change = (event.membership == "join") - (before == "join")
        if change:
            members.count_servers(txn, event.room_id, {user.domain: change})
        departed = not members.any_local_joined(txn, event.room_id)
        others = [server for server in rooms.joined_servers(txn, event.room_id) if server != self.name]
        room = Room(event.room_id, V12, "", 1, (), b"", 1, 0, 0, rooms.servers_hash(txn, others), 0, 0, departed, False)
        self.watch(txn, room, stored)
        txn.run("UPDATE rooms SET departed = :departed WHERE room_id = :room", departed=int(departed), room=event.room_id)


def town_result(town: Town) -> Any:
    """Awaits Deferreds as well as coroutines."""

    async def wait(work: Any) -> Any:
        return await work

    return lambda work: town.result(wait(work))


@dataclass
class Person:
    """A user with real signing keys."""

    house: House
    user_id: UserID
    keys: dict[str, signing.Key] = field(default_factory=dict)

    def logs_in(self, device_id: str) -> None:
        self.house.result(
            self.house.database.write(self.house.devices.add, Device(self.user_id, device_id, f"{device_id}'s name", 1))
        )

    def logs_out(self, device_id: str) -> None:
        self.house.result(self.house.devices.log_out(self.user_id, device_id, None))

    def identity(self, device_id: str, seed: int = 1) -> dict[str, Any]:
        """Signed device keys."""
        key = self.keys[device_id] = signing.Key(f"ed25519:{device_id}", SigningKey(bytes([seed]) * 32))
        value = {
            "user_id": str(self.user_id),
            "device_id": device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {key.id: key.public, f"curve25519:{device_id}": key.public},
            "signatures": {},
        }
        return signing.sign_json(value, self.user_id, key)

    def uploads(
        self, device_id: str, identity: Any = None, one_time: dict[str, Any] | None = None, fallback: dict[str, Any] | None = None
    ) -> dict[str, int]:
        upload = uploads.read(self.user_id, device_id, identity, one_time or {}, fallback or {})
        return self.house.result(self.house.uploads.publish(upload))  # type: ignore[no-any-return]

    def publishes(self, device_id: str, seed: int = 1) -> dict[str, Any]:
        """Upload identity keys."""
        keys = self.identity(device_id, seed)
        self.uploads(device_id, keys)
        return keys

    def one_time(self, device_id: str, *names: str) -> dict[str, Any]:
        """One-time keys under these ids."""
        return {
            f"signed_curve25519:{name}": {"key": f"key of {name}", "signatures": {self.user_id: {f"ed25519:{device_id}": "sig"}}}
            for name in names
        }

    def cross_signing(self, seed: int = 100) -> dict[str, Any]:
        """A whole set of cross-signing keys, as a request body."""
        body: dict[str, Any] = {}
        for number, usage in enumerate(("master", "self_signing", "user_signing")):
            secret = SigningKey(bytes([seed + number]) * 32)
            public = signing.encode_base64(bytes(secret.verify_key))
            self.keys[usage] = signing.Key(f"ed25519:{public}", secret)
            value = {"user_id": str(self.user_id), "usage": [usage], "keys": {f"ed25519:{public}": public}}
            body[f"{usage}_key"] = value if usage == "master" else signing.sign_json(value, self.user_id, self.keys["master"])
        return body

    def sets_up(self, body: dict[str, Any], proof: Any = None) -> None:
        """Publish cross-signing keys."""
        self.house.result(self.house.signing_keys.replace(self.user_id, signing_keys.read(self.user_id, body), proof))

    def signs(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        return signing.sign_json({**value, "signatures": {}}, self.user_id, self.keys[key])

    def adds(self, wanted: dict[str, Any]) -> Any:
        """Upload signatures; answers the failures."""
        return self.house.result(self.house.signatures.add(self.user_id, wanted))

    def queries(self, *others: Person) -> tuple[Any, Any]:
        """(what was found, failures)."""
        found, failures = self.house.result(self.house.queries.query(self.user_id, {other.user_id: [] for other in others}, 10.0))
        parts = ("device_keys", "master_keys", "self_signing_keys", "user_signing_keys")
        return _json({part: getattr(found, part) for part in parts}), failures

    def claims(self, other: Person, *device_ids: str) -> Any:
        """device -> ids of the keys claimed."""
        wanted = {other.user_id: dict.fromkeys(device_ids, "signed_curve25519")}
        claimed, failures = self.house.result(self.house.claims.claim(wanted, 10.0))
        assert not failures
        return {device: next(iter(keys)).partition(":")[2] for device, keys in claimed.get(other.user_id, {}).items()}

    def sends(self, device_id: str, messages: dict[str, Any], txn_id: str = "1", event_type: str = "m.test") -> None:
        self.house.result(
            self.house.messages.send(Sending(self.user_id, event_type, "", f"{device_id}/{txn_id}", read(messages, event_type)))
        )

    def receives(self, device_id: str, after: int = 0) -> tuple[list[Any], int]:
        """(messages, number of the last) as /sync gets them."""
        found, last = self.house.result(self.house.database.read(to_device.waiting, self.user_id, device_id, after))
        return [orjson.loads(message) for message in found], last

    def counts(self, device_id: str) -> tuple[dict[str, int], list[str]]:
        """One-time keys left and unused fallback keys as /sync shows them."""
        read = self.house.database.read
        return (
            self.house.result(read(one_time_keys.counts, self.user_id, device_id)),
            self.house.result(read(one_time_keys.unused_fallback_types, self.user_id, device_id)),
        )

    def now(self) -> Token:
        return self.house.database.now()

    def learns(self, since: Token) -> tuple[set[str], set[str]]:
        """(changed, left) since a token."""
        found = self.house.result(self.house.database.read(changes.device_lists, self.user_id, since, self.now()))
        return set(found.changed), set(found.left)
