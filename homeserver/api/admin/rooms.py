"""Rooms, for operators, as Synapse offers it: seen, blocked, emptied, given a new master."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import orjson

from homeserver.api.admin.paging import Paging
from homeserver.clock import Clock
from homeserver.directory.aliases import Aliases
from homeserver.errors import InvalidParam, NotFound, Refused
from homeserver.events import serving
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import RoomAlias, RoomID, ServerName, UserID
from homeserver.events.power import Power
from homeserver.membership.clearing import Clearing
from homeserver.membership.invites import Invites
from homeserver.membership.joins import Joins
from homeserver.storage import accounts, directory, members, overview, room_jobs, rooms, state
from homeserver.storage.room_jobs import DELETE, REDACT, Job
from homeserver.storage.transactions import Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post, put

V1, V2 = "/_synapse/admin/v1", "/_synapse/admin/v2"
LEVELS, JOIN_RULES = "m.room.power_levels", "m.room.join_rules"
MOST = 2**53 - 1  # creators of newer rooms have more than can be said
ABOUT = {
    "name": ("m.room.name", "name"),
    "canonical_alias": ("m.room.canonical_alias", "alias"),
    "avatar": ("m.room.avatar", "url"),
    "topic": ("m.room.topic", "topic"),
    "join_rules": (JOIN_RULES, "join_rule"),
    "guest_access": ("m.room.guest_access", "guest_access"),
    "history_visibility": ("m.room.history_visibility", "history_visibility"),
    "encryption": ("m.room.encryption", "algorithm"),
}


class Listing(Paging, rename={"start": "from"}):
    """Which rooms."""

    search_term: str | None = None


class Blocked(msgspec.Struct):
    """Whether a room is blocked."""

    block: bool


class Deletion(msgspec.Struct):
    """How a room is to be deleted."""

    block: bool = False
    purge: bool = True
    force_purge: bool = False
    new_room_user_id: str | None = None


class Master(msgspec.Struct):
    """Who is to have the highest power; the one who calls, if nobody is named."""

    user_id: str | None = None


class Upto(msgspec.Struct):
    """Which messages are to be deleted."""

    delete_local_events: bool = False
    purge_up_to_event_id: str | None = None
    purge_up_to_ts: int | None = None


class Sent(msgspec.Struct):
    """Who is to join."""

    user_id: str


class Redaction(msgspec.Struct):
    """Whose messages are to be redacted where; without rooms, in all that the user is in."""

    rooms: list[str]
    reason: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    use_admin: bool = False


@dataclass(frozen=True)
class RoomPages:
    """What operators see of rooms."""

    clearing: Clearing
    clock: Clock

    @get(f"{V1}/rooms", admin=True)
    async def all(self, caller: Caller, query: Listing) -> dict[str, Any]:
        """A page of the rooms."""
        found, total = await self.clearing.timeline.database.read(_page, query)
        answer = query.answer("rooms", found, total)
        after = answer.pop("next_token", None)
        answer |= {"offset": max(0, query.start), "total_rooms": answer.pop("total")}
        return answer | ({"next_batch": int(after)} if after else {})

    @get(f"{V1}/rooms/{{room_id}}", admin=True)
    async def one(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """One room."""
        return await self.clearing.timeline.database.read(_details, room_id)

    @get(f"{V1}/rooms/{{room_id}}/members", admin=True)
    async def members(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Who is in it."""
        found = await self.clearing.timeline.database.read(_members, room_id)
        return {"members": found, "total": len(found)}

    @get(f"{V1}/rooms/{{room_id}}/state", admin=True)
    async def state(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Its state."""
        return {"state": await self.clearing.timeline.database.read(_state, room_id)}

    @get(f"{V1}/rooms/{{room_id}}/forward_extremities", admin=True)
    async def extremities(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Its open ends."""
        room = await self.clearing.timeline.database.read(rooms.get, room_id)
        if room is None:
            raise NotFound("There is no such room")
        found = [{"event_id": head.event_id, "depth": head.depth} for head in room.heads]
        return {"count": len(found), "results": found}

    @get(f"{V1}/rooms/{{room_id}}/block", admin=True)
    async def is_blocked(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Whether local users are kept out."""
        by = await self.clearing.timeline.database.read(room_jobs.blocked_by, room_id)
        return {"block": by is not None} | ({"user_id": by} if by else {})

    @put(f"{V1}/rooms/{{room_id}}/block", admin=True)
    async def block(self, caller: Caller, room_id: RoomID, body: Blocked) -> Blocked:
        """Keep local users out of a room, whether it is known here or not; or let them in again."""
        database = self.clearing.timeline.database
        if body.block:
            await database.write(room_jobs.block, room_id, caller.user_id, self.clock.now())
        else:
            await database.write(room_jobs.unblock, room_id)
        return body


@dataclass(frozen=True)
class RoomOrders:
    """What operators do to rooms."""

    clearing: Clearing
    invites: Invites
    joins: Joins
    aliases: Aliases

    @post(f"{V1}/join/{{room_id_or_alias}}", admin=True)
    async def join(self, caller: Caller, room_id_or_alias: str, body: Sent) -> dict[str, str]:
        """Have a local user join; into a room that is not open to them by an invite of the administrator, who must be in it."""
        user, via = UserID.parse(body.user_id), list[ServerName]()
        if not self.clearing.timeline.identity.is_mine(user):
            raise InvalidParam("This user is not of this server")
        if await self.clearing.timeline.database.read(accounts.get, user) is None:
            raise NotFound("There is no such account")
        if room_id_or_alias.startswith("#"):
            room_id, via = await self.aliases.resolve(RoomAlias.parse(room_id_or_alias))
        else:
            room_id = RoomID.parse(room_id_or_alias)
        member = await self.clearing.timeline.database.read(members.get, room_id, user)
        if await self.clearing.timeline.database.read(members.is_joined, room_id, caller.user_id) and (
            member is None or member.membership not in ("join", "invite")
        ):
            await self.invites.invite(caller.user_id, room_id, user, {}, caller.device_id)
        await self.joins.join(user, room_id, via, await self.invites.profile(user))
        return {"room_id": room_id}

    @delete(f"{V1}/rooms/{{room_id}}", admin=True)
    async def remove(self, caller: Caller, room_id: RoomID, body: Deletion) -> dict[str, Any]:
        """Delete a room, and answer when that is done."""
        job = await self.clearing.done(await self._order(caller, room_id, body))
        if "error" in job.result:
            raise Refused(500, "M_UNKNOWN", job.result["error"])
        return {"local_aliases": [], "new_room_id": None, **job.result}

    @delete(f"{V2}/rooms/{{room_id}}", admin=True)
    async def remove_soon(self, caller: Caller, room_id: RoomID, body: Deletion) -> dict[str, str]:
        """Order that a room be deleted."""
        return {"delete_id": (await self._order(caller, room_id, body)).id}

    async def _order(self, caller: Caller, room_id: RoomID, wanted: Deletion) -> Job:
        if wanted.new_room_user_id is not None:
            raise InvalidParam("new_room_user_id: This server does not move people to new rooms")
        if await self.clearing.timeline.database.read(rooms.get, room_id) is None and not wanted.block:
            raise NotFound("There is no such room")
        how = {"block": wanted.block, "purge": wanted.purge, "force_purge": wanted.force_purge, "by": caller.user_id}
        return await self.clearing.order(DELETE, room_id, how)

    @get(f"{V2}/rooms/{{room_id}}/delete_status", admin=True)
    async def deletions(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """How the deletions of a room go."""
        found = await self.clearing.timeline.database.read(room_jobs.of_room, room_id, DELETE)
        if not found:
            raise NotFound("No deletion of this room is known")
        return {"results": [_status(job) for job in found]}

    @get(f"{V2}/rooms/delete_status/{{delete_id}}", admin=True)
    async def deletion(self, caller: Caller, delete_id: str) -> dict[str, Any]:
        """How a deletion goes."""
        return _status(await self._job(delete_id))

    @post(f"{V1}/purge_history/{{room_id}}", f"{V1}/purge_history/{{room_id}}/{{event_id}}", admin=True)
    async def purge(self, caller: Caller, room_id: RoomID, body: Upto, event_id: str = "") -> dict[str, str]:
        """Order that messages before an event or a time be deleted; state stays, and our own messages unless asked for."""
        wanted = event_id or body.purge_up_to_event_id
        if (wanted is None) == (body.purge_up_to_ts is None):
            raise InvalidParam("Either an event or purge_up_to_ts says up to where")
        return {"purge_id": (await self.clearing.purge(room_id, wanted, body.purge_up_to_ts, body.delete_local_events)).id}

    @get(f"{V1}/purge_history_status/{{purge_id}}", admin=True)
    async def purging(self, caller: Caller, purge_id: str) -> dict[str, Any]:
        """How a purge goes."""
        status = (await self._job(purge_id)).status
        return {"status": "active" if status == "scheduled" else status}

    @post(f"{V1}/user/{{user_id}}/redact", admin=True)
    async def redact(self, caller: Caller, user_id: UserID, body: Redaction) -> dict[str, str]:
        """Order that what somebody has said be redacted."""
        rooms = [RoomID.parse(room) for room in body.rooms]
        how = {"rooms": rooms, "reason": body.reason, "limit": body.limit, "use_admin": body.use_admin, "by": caller.user_id}
        return {"redact_id": (await self.clearing.order(REDACT, user_id, how)).id}

    @get(f"{V1}/user/redact_status/{{redact_id}}", admin=True)
    async def redacting(self, caller: Caller, redact_id: str) -> dict[str, Any]:
        """How the redactions go."""
        job = await self._job(redact_id)
        return {"status": job.status, "failed_redactions": job.result.get("failed_redactions", {})}

    async def _job(self, job_id: str) -> Job:
        job = await self.clearing.timeline.database.read(room_jobs.get, job_id)
        if job is None:
            raise NotFound("No such order is known")
        return job

    @post(f"{V1}/rooms/{{room_id}}/make_room_admin", admin=True)
    async def make_room_admin(self, caller: Caller, room_id: RoomID, body: Master) -> None:
        """Give somebody the power of the mightiest local user in the room, in that one's name; invite them if need be."""
        user = UserID.parse(body.user_id) if body.user_id is not None else caller.user_id
        timeline = self.clearing.timeline
        master, content, joined, invites = await timeline.database.read(_succession, room_id, user)
        if content is not None:
            await timeline.set_state(room_id, Draft(LEVELS, master, content, ""))
        if not joined and invites:
            await self.invites.invite(master, room_id, user, {})


def _page(txn: Transaction, query: Listing) -> tuple[list[dict[str, Any]], int]:
    found, total = overview.rooms(txn, query.search_term, query.page)
    return [_shown(txn, RoomID(room), local, pieces) for room, local, pieces in found], total


def _shown(txn: Transaction, room_id: RoomID, local: int, pieces: int) -> dict[str, Any]:
    room = rooms.get(txn, room_id)
    if room is None:
        raise NotFound("There is no such room")
    view = state.current_of_types(txn, room_id, ["m.room.create", *(kind for kind, _ in ABOUT.values())])
    content = {kind: stored.event.content for (kind, state_key), stored in view.items() if state_key == ""}
    return {
        "room_id": room_id,
        "version": room.version.id,
        "creator": room.creator,
        "joined_members": room.joined_members,
        "joined_local_members": local,
        "state_events": pieces,
        "federatable": content.get("m.room.create", {}).get("m.federate", True),
        "public": directory.is_published(txn, room_id),
        "room_type": content.get("m.room.create", {}).get("type"),
        **{name: content.get(kind, {}).get(key) for name, (kind, key) in ABOUT.items()},
    }


def _details(txn: Transaction, room_id: RoomID) -> dict[str, Any]:
    local = len(members.local_joined(txn, room_id))
    shown = _shown(txn, room_id, local, len(state.current_numbers(txn, room_id)))
    return {**shown, "forgotten": False, "tombstoned": state.current_event(txn, room_id, "m.room.tombstone") is not None}


def _members(txn: Transaction, room_id: RoomID) -> list[str]:
    if rooms.get(txn, room_id) is None:
        raise NotFound("There is no such room")
    return [member.user_id for member in members.of_room(txn, room_id, ["join"])]


def _state(txn: Transaction, room_id: RoomID) -> list[Any]:
    if rooms.get(txn, room_id) is None:
        raise NotFound("There is no such room")
    return [orjson.Fragment(serving.client_bytes(stored.event, None)) for stored in state.current(txn, room_id).values()]


def _status(job: Job) -> dict[str, Any]:
    error = {"error": job.result["error"]} if "error" in job.result else {}
    rest = {name: value for name, value in job.result.items() if name != "error"}
    shutdown = {"kicked_users": [], "failed_to_kick_users": [], "local_aliases": [], "new_room_id": None, **rest}
    return {"delete_id": job.id, "room_id": job.room_id, "status": job.status, "shutdown_room": shutdown, **error}


def _succession(txn: Transaction, room_id: RoomID, heir: UserID) -> tuple[UserID, dict[str, Any] | None, bool, bool]:
    """Who hands over, the new power levels (None if the heir has the power already), whether the heir is in, must be invited."""
    room = rooms.get(txn, room_id)
    if room is None or room.departed:
        raise NotFound("There is no such room")
    view = state.view(txn, room.state_root, [("m.room.create", ""), (LEVELS, ""), (JOIN_RULES, "")])
    power = Power(room.version, view["m.room.create", ""], view.get((LEVELS, "")))
    needed = power.needed(LEVELS, is_state=True)
    mighty = [user for user in members.local_joined(txn, room_id) if power.of(user) >= needed]
    if not mighty:
        raise Refused(400, "M_UNKNOWN", "No local user in this room has the power to give power")
    master = max(mighty, key=power.of)
    joined = members.is_joined(txn, room_id, heir)
    rule = view.get((JOIN_RULES, ""))
    invites = rule is None or rule.content.get("join_rule") != "public"
    if power.of(heir) >= power.of(master):
        return master, None, joined, invites
    level = power.of(master)
    before = view.get((LEVELS, ""))
    content = dict(before.content) if before is not None else {}
    named = content.get("users")
    content["users"] = {**(named if isinstance(named, dict) else {}), heir: level if level <= MOST else max(needed, 100)}
    return master, content, joined, invites
