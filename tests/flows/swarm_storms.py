"""Storms over real servers: several swarms at once on four servers that lose and find each other, with people who vote and quarrel,
a hostile member and a hostile server.

What each does grows from the number of its swarm, when the servers are torn apart from that of the storm.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import orjson

from homeserver.events import drafts, rules, state_map
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.events.swarm import devices, names
from homeserver.events.swarm.votes import Motion, check_motion
from homeserver.events.versions import SWARM
from homeserver.federation.failures import PeerError
from homeserver.storage import events as stored_events
from homeserver.storage import rooms, state
from homeserver.swarm import votes
from homeserver.units import Duration
from tests.flows.swarming import SWARMS
from tests.world import SETTINGS, Client, Home, Network, good

IMPATIENT = replace(SETTINGS.federation, max_retry_delay=Duration.parse("5s"))
PEOPLE = {"alice": "a", "bob": "b", "carla": "c", "denys": "d", "eve": "d"}
TEARS = ([], [], ["ab", "cd"], ["abc", "d"], ["a", "bcd"], ["ac", "bd"], ["ad", "b", "c"])
# What the hostile server of Denys and Eve says.
HOSTILE = "d"


@dataclass
class Storm:
    """One swarm in the storm; `dice` decide all that happens in it."""

    seed: int
    network: Network
    people: dict[str, Client]
    room: RoomID = field(default_factory=lambda: RoomID(""))
    dice: random.Random = field(default_factory=random.Random)
    done: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"{SWARMS}/rooms/{self.room}"

    async def begin(self) -> None:
        """Alice makes it, with other admins; all but Eve are in it."""
        self.dice.seed(self.seed)
        alice = self.people["alice"]
        content = {"mode": self.dice.choice((1, 2, 2, 3)), "nonce": self.seed}
        if self.dice.random() < 0.3:
            content["additional_creators"] = [self.people["bob"].user_id]
        made = await alice.post("/createRoom", {"room_version": SWARM.id, "creation_content": content})
        self.room = RoomID(good(made)["room_id"])
        admins = [name for name in ("carla", "denys") if self.dice.random() < 0.6]
        if "additional_creators" not in content and self.dice.random() < 0.6:
            admins.append("bob")
        levels = good(await alice.get(f"/rooms/{self.room}/state/m.room.power_levels"))
        levels["users"] = {**levels.get("users", {}), **{self.people[name].user_id: 100 for name in admins}}
        good(await alice.put(f"/rooms/{self.room}/state/m.room.power_levels", levels))
        for name in ("bob", "carla", "denys"):
            good(await alice.post(f"/rooms/{self.room}/invite", {"user_id": self.people[name].user_id}))

    async def gathers(self) -> None:
        for name in ("bob", "carla", "denys"):
            good(await self.people[name].post(f"/join/{self.room}?via=a"))

    async def acts(self, times: int) -> None:
        """Somebody does something, so many times; what is refused is refused."""
        for _ in range(times):
            act = self.dice.choice(ACTS)
            self.done.append(act.__name__)
            try:
                await act(self)
            except (PeerError, Denied, Malformed):
                continue

    def someone(self) -> Client:
        return self.people[self.dice.choice(list(PEOPLE))]

    # --- the honest

    async def say(self) -> None:
        body = {"msgtype": "m.text", "body": str(self.dice.random())}
        await self.someone().put(f"/rooms/{self.room}/send/m.room.message/{self.dice.random()}", body)

    async def vote(self) -> None:
        target, action = self.someone().user_id, self.dice.choice(("ban", "ban", "ban", "unban"))
        for _ in range(self.dice.randint(1, 3)):
            await self.someone().put(f"{self.path}/votes", {"action": action, "target": target})

    async def oust(self) -> None:
        target = self.someone().user_id
        for voter in self.dice.sample(list(self.people.values()), 4):
            await voter.post(f"/rooms/{self.room}/ban", {"user_id": target})

    async def forgive(self) -> None:
        target = self.someone().user_id
        for voter in self.dice.sample(list(self.people.values()), 4):
            await voter.post(f"/rooms/{self.room}/unban", {"user_id": target})

    async def vote_on_device(self) -> None:
        target, action = self.someone(), self.dice.choice(("ban", "unban", "unban"))
        body = {"action": action, "kind": "device", "target": target.user_id, "target_device": target.device_id}
        for voter in self.dice.sample(list(self.people.values()), 3):
            await voter.put(f"{self.path}/votes", body)

    async def empower(self) -> None:
        who = self.someone()
        levels = await who.get(f"/rooms/{self.room}/state/m.room.power_levels")
        if levels.status == 200:
            users = {**levels.json.get("users", {}), self.someone().user_id: 100}
            await who.put(f"/rooms/{self.room}/state/m.room.power_levels", {**levels.json, "users": users})

    async def describe(self) -> None:
        await self.someone().put(f"{self.path}/profile", {"title": str(self.dice.random())})

    async def call(self) -> None:
        body: dict[str, Any] = self.dice.choice(({"uri": str(self.dice.random())}, {"duration": 5}))
        await self.someone().put(f"{self.path}/calls/{self.dice.choice('xy')}", body)

    async def invite(self) -> None:
        await self.someone().post(f"/rooms/{self.room}/invite", {"user_id": self.someone().user_id})

    async def come(self) -> None:
        await self.someone().post(f"/join/{self.room}?via={self.dice.choice('abcd')}")

    async def go(self) -> None:
        if self.dice.random() < 0.4:
            await self.someone().post(f"/rooms/{self.room}/leave", {})

    # --- the hostile member, who may use any endpoint

    async def overreach(self) -> None:
        who, whom = self.someone(), self.someone().user_id
        voters = self.dice.sample([one.user_id for one in self.people.values()], self.dice.randint(0, 4))
        content, kind, key = self.dice.choice(
            [
                ({"membership": "ban", names.VOTES: voters}, "m.room.member", whom),
                ({"membership": "leave", names.VOTES: voters}, "m.room.member", whom),
                ({"action": "ban", "kind": "user", "target": whom}, names.VOTE, Motion("ban", "user", whom).key(self.someone().user_id)[1]),
                ({"users": {who.user_id: 100}}, "m.room.power_levels", ""),
                ({"users_default": 100}, "m.room.power_levels", ""),
                ({"join_rule": "public"}, "m.room.join_rules", ""),
                ({}, "org.example.unknown", ""),
            ]
        )
        await who.put(f"/rooms/{self.room}/state/{kind}/{quote(key, safe='')}", content)

    # --- the hostile server, which signs what it likes at whatever place of the graph

    async def forge(self) -> None:
        server = self.network.servers[HOSTILE].server
        who = self.people[self.dice.choice(("denys", "eve"))]
        event = await server.database.read(self._forged, server.identity, who.user_id)
        if event is None:
            return
        body = {"origin": HOSTILE, "origin_server_ts": 1, "pdus": [event.data], "edus": []}
        for other in self.dice.sample("abc", self.dice.randint(1, 3)):
            raw = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
            await server.federation.peers.send_transaction(self.network.servers[other].name, f"f{self.dice.random()}", raw)

    def _forged(self, txn: Any, identity: Any, who: UserID) -> Event | None:
        here = rooms.get(txn, self.room)
        rows = txn.all("SELECT event_id FROM events WHERE room_id = :room AND state_before IS NOT NULL ORDER BY event_id", room=self.room)
        if here is None or not rows:
            return None
        old = stored_events.find(txn, self.room, [self.dice.choice(rows)[0]])
        (place,) = old.values()
        root = place.state_after if self.dice.random() < 0.8 else here.state_root
        whom = self.someone().user_id
        voters = self.dice.sample([str(one.user_id) for one in self.people.values()], self.dice.randint(0, 4))
        against = Motion("ban", "user", whom)
        vote = {"action": "ban", "kind": "user", "target": whom}
        kind, content, key = self.dice.choice(
            [
                ("m.room.member", {"membership": "ban", names.VOTES: voters}, str(whom)),
                ("m.room.member", {"membership": "join"}, str(who)),
                ("m.room.member", {"membership": "invite"}, str(whom)),
                (names.VOTE, vote, against.key(who)[1]),
                (names.VOTE, vote, against.key(voters[0] if voters else who)[1]),
                ("m.room.power_levels", {"users": {str(who): 100, str(whom): 100}}, ""),
                ("m.room.message", {"msgtype": "m.text", "body": "from the past"}, None),
                ("org.example.unknown", {}, None),
            ]
        )
        device = self.dice.choice(("PHONE", "OTHER"))
        keys = rules.auth_keys(SWARM, kind, who, key, {**content, names.DEVICE: device})
        auth = [event.event_id for event in state.view(txn, root or state_map.EMPTY, keys).values() if self.dice.random() < 0.97]
        draft = Draft(kind, who, dict(content), key, device=device)
        prev = [EventID(place.event.event_id)]
        data = drafts.complete(SWARM, draft, self.room, prev, auth, place.event.depth + 1, self.dice.randrange(10**12))
        return identity.event(SWARM, data)  # type: ignore[no-any-return]

    # --- the end

    async def greets(self) -> None:
        """Everybody who is in the room says something, from another device where the usual one is banned: so all ends of its graph meet."""
        for name, client in self.people.items():
            body, path = {"msgtype": "m.text", "body": f"{name} is here"}, f"/rooms/{self.room}/send/m.room.message/{self.dice.random()}"
            if (await client.put(path, body)).status != 200:
                await (await client.home.user(name, "SPARE")).put(path, body)

    async def views(self) -> dict[str, dict[tuple[str, str], str]]:
        """The state of the room as each server has it that has users in it by its own word."""
        found = {}
        for name, home in self.network.servers.items():
            here = await home.server.database.read(rooms.get, self.room)
            if here is not None and not here.departed:
                found[name] = await home.server.database.read(current, self.room)
        return found

    async def agreed(self) -> dict[str, dict[tuple[str, str], str]]:
        """The views of those who are in the room by the view that all of them share.

        Who was put out by it may go on with another: what they said meanwhile is soft-failed by the rest (docs/swarm.md, Limits).
        """
        views = await self.views()
        shared = []
        for name, view in views.items():
            members = set(await self.network.servers[name].server.database.read(rooms.joined_servers, self.room)) & views.keys()
            if members and all(views[other] == view for other in members) and view not in [views[other] for other in shared]:
                shared.append(name)
        if len(shared) != min(1, len(views)):
            common = set.intersection(*(set(view.items()) for view in views.values()))
            different = {name: sorted(set(view.items()) - common) for name, view in views.items()}
            raise AssertionError(f"seed {self.seed}: {shared} share a view with all members: {different} after {self.done}")
        return {name: view for name, view in views.items() if view == views[shared[0]]}


ACTS = (
    *(Storm.say, Storm.vote, Storm.vote, Storm.oust, Storm.oust, Storm.forgive, Storm.vote_on_device, Storm.empower, Storm.describe),
    *(Storm.call, Storm.invite, Storm.come, Storm.come, Storm.go, Storm.overreach, Storm.forge, Storm.forge),
)


def current(txn: Any, room_id: str) -> dict[tuple[str, str], str]:
    """The current state of a room: the event at each key."""
    rows = txn.all("SELECT type, state_key, event_id FROM current_state WHERE room_id = :room", room=room_id)
    return {(kind, key): event_id for kind, key, event_id in rows}


def unfinished(txn: Any, room_id: str) -> list[Motion]:
    """What has votes enough, somebody who can act on it, and was not done."""
    room = rooms.get(txn, room_id)
    assert room is not None
    tallies = votes.count_all(txn, room)
    assert tallies == [votes.count(txn, room, one.motion) for one in tallies], "counted together as each alone"
    view = state.view(txn, room.state_root, [devices.key_of(user, "PHONE") for one in tallies for user in one.may_act])
    return [
        one.motion
        for one in tallies
        if one.passed and not one.done and any(not devices.is_banned(view, user, "PHONE") for user in one.may_act)
    ]


def unlawful(txn: Any, room_id: str) -> list[str]:
    """Who is banned without the votes of more than half of some admins behind it, by the events that the ban cites."""
    found = []
    for (kind, key), stored in state.current(txn, room_id).items():
        if kind != "m.room.member" or stored.event.membership != "ban":
            continue
        cited = [one.event for one in stored_events.find(txn, room_id, stored.event.auth_events).values()]
        create = stored_events.find(txn, room_id, ["$" + room_id[1:]])["$" + room_id[1:]].event
        try:
            check_motion(stored.event, {**rules.by_key(cited), rules.CREATE: create}, Motion("ban", "user", key))
        except Denied as error:
            found.append(f"{key}: {error}")
    return found


async def homes(network: Network) -> dict[str, Client]:
    """The four servers and their people."""
    made: dict[str, Home] = {name: network.server(name, federation=IMPATIENT) for name in "abcd"}
    return {name: await made[home].user(name, "PHONE") for name, home in PEOPLE.items()}


async def rage(network: Network, number: int, seeds: range, rounds: int = 4, acts: int = 5) -> list[Storm]:
    """Storms of these seeds over the same four servers, torn apart as `number` says; in the end everybody has heard all."""
    people = await homes(network)
    storms = [Storm(seed, network, people) for seed in seeds]
    for storm in storms:
        await storm.begin()
    await network.passes(3)
    for storm in storms:
        await storm.gathers()
    await network.passes(3)
    tears = random.Random(number)
    for _ in range(rounds):
        parts = tears.choice(TEARS)
        network.cut = {frozenset((one, other)) for part in parts for one in part for other in "abcd" if other not in part}
        for storm in storms:
            await storm.acts(acts)
        await network.passes(tears.choice((1, 3, 15)))
    network.cut = set()
    await network.passes(40)
    for _ in range(3):
        for storm in storms:
            await storm.greets()
        await network.passes(6)
    await network.passes(45)
    for storm in storms:
        await storm.greets()
    await network.passes(6)
    return storms
