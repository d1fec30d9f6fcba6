"""Every call to another server, one method each.  Says what is asked and what shape the answer has, and decides nothing.

All raise `PeerError`: `Unreachable`, `TimedOut`, `Nonsense`, `Answered`.  Answers are shaped (`answers`), not believed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from homeserver.events.identifiers import ServerName
from homeserver.events.swarm.names import DEVICE
from homeserver.events.vendor import FEDERATION, named
from homeserver.federation import answers
from homeserver.federation.conversation import MOST_BYTES, Call, Conversation, path
from homeserver.federation.failures import Answered, Nonsense
from homeserver.federation.transport import Stream

T = TypeVar("T")

V1, V2, KEY = "/_matrix/federation/v1", "/_matrix/federation/v2", "/_matrix/key/v2"
LARGE = 256 * 1024 * 1024  # the state of the largest rooms there are
SLOW = 180.0  # joining such a room
QUICK = 15.0

CANDIDATES = named("candidates")
"""The field of an invite request that names further servers to join through."""

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invite, what the invited user may be shown of the room, and further servers to join through."""

    version: str
    event: Event
    stripped: Sequence[Any]
    candidates: Sequence[ServerName]


@dataclass(frozen=True)
class Peers:
    """The other servers."""

    conversation: Conversation

    # --- memberships -------------------------------------------------------------------------------------

    async def make_join(
        self, server: ServerName, room_id: str, user_id: str, versions: Sequence[str], device: str | None = None
    ) -> answers.Template:
        """What a join event of `user_id` would have to say; `versions` are the room versions that we know."""
        return await self._template("make_join", server, room_id, user_id, versions, device)

    async def make_knock(
        self, server: ServerName, room_id: str, user_id: str, versions: Sequence[str], device: str | None = None
    ) -> answers.Template:
        """What a knock of `user_id` would have to say."""
        return await self._template("make_knock", server, room_id, user_id, versions, device)

    async def make_leave(self, server: ServerName, room_id: str, user_id: str, device: str | None = None) -> answers.Template:
        """What a leave event of `user_id`, who is not joined through us, would have to say."""
        return await self._template("make_leave", server, room_id, user_id, (), device)

    async def _template(
        self, what: str, server: ServerName, room_id: str, user_id: str, versions: Sequence[str], device: str | None = None
    ) -> answers.Template:
        query: dict[str, Any] = {**({"ver": list(versions)} if versions else {}), **({DEVICE: device} if device is not None else {})}
        call = Call("GET", path(V1, what, room_id, user_id), query, timeout=QUICK, anyway=True)
        value = await self.conversation.value(server, call)
        return self._converted(server, value, answers.Template)

    async def send_join(
        self, server: ServerName, room_id: str, event_id: str, event: Event, *, omit_members: bool = False
    ) -> answers.Joined:
        """Join with a signed event; the room's state, which may be large."""
        query = {"omit_members": "true"} if omit_members else {}
        call = Call("PUT", path(V2, "send_join", room_id, event_id), query, event, SLOW, LARGE, anyway=True)
        try:
            return await self.conversation.shaped(server, call, answers.Joined)
        except Answered as error:
            if not error.unknown_endpoint:
                raise
        call = Call("PUT", path(V1, "send_join", room_id, event_id), {}, event, SLOW, LARGE, anyway=True)
        return (await self.conversation.shaped(server, call, tuple[int, answers.Joined]))[1]

    async def send_knock(self, server: ServerName, room_id: str, event_id: str, event: Event) -> answers.Knocked:
        """Knock with a signed event; stripped state of the room."""
        value = await self._put(server, path(V1, "send_knock", room_id, event_id), event)
        return self._converted(server, value, answers.Knocked)

    async def send_leave(self, server: ServerName, room_id: str, event_id: str, event: Event) -> None:
        """Leave, reject an invite or withdraw a knock with a signed event."""
        try:
            await self._put(server, path(V2, "send_leave", room_id, event_id), event)
        except Answered as error:
            if not error.unknown_endpoint:
                raise
            await self._put(server, path(V1, "send_leave", room_id, event_id), event)

    async def invite(self, server: ServerName, room_id: str, event_id: str, invitation: Invitation) -> msgspec.Raw:
        """Have the invited user's server sign the invite; the event as they returned it."""
        version, event, stripped = invitation.version, invitation.event, invitation.stripped
        body = {"room_version": version, "event": event, "invite_room_state": list(stripped), CANDIDATES: list(invitation.candidates)}
        try:
            call = Call("PUT", path(V2, "invite", room_id, event_id), {}, body, anyway=True)
            return (await self.conversation.shaped(server, call, answers.Invited)).event
        except Answered as error:
            # spec: server-server-api#put_matrixfederationv2inviteroomideventid; the old one has no room version
            if not error.unknown_endpoint or version not in ("1", "2"):
                raise
        old = {**event, "unsigned": {**event.get("unsigned", {}), "invite_room_state": list(stripped)}}
        call = Call("PUT", path(V1, "invite", room_id, event_id), {}, old, anyway=True)
        return (await self.conversation.shaped(server, call, tuple[int, answers.Invited]))[1].event

    async def prove_invite(self, server: ServerName, room_id: str, event_id: str, version: str, event: Event) -> None:
        """Show a server of ours the whole signed invite of a user who is about to join through it."""
        body = {"room_version": version, "event": event}
        call = Call("POST", path(FEDERATION, "prove_invite", room_id, event_id), {}, body, QUICK, anyway=True)
        await self.conversation.value(server, call)

    async def follow_link(self, server: ServerName, token: str, user_id: str, device_id: str, public_key: str) -> answers.Followed:
        """Follow a join link of another server for a user of ours."""
        # The token is no part of the path: paths are written into logs, here, there and between.
        body = {"token": token, "user_id": user_id, "device_id": device_id, "public_key": public_key}
        call = Call("POST", path(FEDERATION, "follow_link"), {}, body, anyway=True)
        return await self.conversation.shaped(server, call, answers.Followed)

    async def decide_link(self, server: ServerName, request_id: str, approver: str, approve: bool) -> None:
        """A member here agrees, or not, to let in somebody who follows a join link of another server."""
        call = Call("POST", path(FEDERATION, "decide_link", request_id), {}, {"user_id": approver, "approve": approve}, anyway=True)
        await self.conversation.value(server, call)

    async def exchange_third_party_invite(self, server: ServerName, room_id: str, body: Event) -> None:
        """Have the inviter's server turn a third-party invite into a real one."""
        await self._put(server, path(V1, "exchange_third_party_invite", room_id), body)

    # --- events ------------------------------------------------------------------------------------------

    async def send_transaction(self, server: ServerName, txn_id: str, body: bytes, *, timeout: float = 60.0) -> answers.Sent:
        """Deliver events and EDUs; `body` is canonical JSON.  How it went does not touch the back-off: the outbox knows better."""
        call = Call("PUT", path(V1, "send", txn_id), {}, body, timeout, anyway=True, counts=False)
        return self._converted(server, await self.conversation.value(server, call), answers.Sent)

    async def event(self, server: ServerName, event_id: str) -> list[msgspec.Raw]:
        """One event by its id, in a list of one."""
        return (await self._get(server, path(V1, "event", event_id), {}, answers.Pdus)).pdus

    async def state(self, server: ServerName, room_id: str, event_id: str) -> answers.State:
        """The state of the room before an event, with all it rests on."""
        call = Call("GET", path(V1, "state", room_id), {"event_id": event_id}, timeout=SLOW, max_bytes=LARGE, anyway=True)
        return await self.conversation.shaped(server, call, answers.State)

    async def state_ids(self, server: ServerName, room_id: str, event_id: str) -> answers.StateIDs:
        """The same as ids."""
        return await self._get(server, path(V1, "state_ids", room_id), {"event_id": event_id}, answers.StateIDs)

    async def event_auth(self, server: ServerName, room_id: str, event_id: str) -> list[msgspec.Raw]:
        """What an event rests on."""
        return (await self._get(server, path(V1, "event_auth", room_id, event_id), {}, answers.AuthChain)).auth_chain

    async def backfill(self, server: ServerName, room_id: str, before: Sequence[str], limit: int) -> list[msgspec.Raw]:
        """Up to `limit` events, those in `before` and older ones."""
        query = {"v": list(before), "limit": str(limit)}
        return (await self._get(server, path(V1, "backfill", room_id), query, answers.Pdus)).pdus

    async def missing_events(
        self, server: ServerName, room_id: str, earliest: Sequence[str], latest: Sequence[str], limit: int, min_depth: int = 0
    ) -> list[msgspec.Raw]:
        """Up to `limit` events between what we have (`earliest`) and what came (`latest`)."""
        body = {"earliest_events": list(earliest), "latest_events": list(latest), "limit": limit, "min_depth": min_depth}
        call = Call("POST", path(V1, "get_missing_events", room_id), {}, body, anyway=True)
        return (await self.conversation.shaped(server, call, answers.Missing)).events

    async def timestamp_to_event(self, server: ServerName, room_id: str, ts: int, direction: str) -> answers.Closest:
        """The event closest to a time, forwards (`f`) or backwards (`b`)."""
        return await self._get(server, path(V1, "timestamp_to_event", room_id), {"ts": str(ts), "dir": direction}, answers.Closest)

    # --- queries -----------------------------------------------------------------------------------------

    async def alias(self, server: ServerName, alias: str) -> answers.AliasTarget:
        """The room behind an alias."""
        call = Call("GET", path(V1, "query", "directory"), {"room_alias": alias}, anyway=True)
        return self._converted(server, await self.conversation.value(server, call), answers.AliasTarget)

    async def profile(self, server: ServerName, user_id: str, field: str | None = None) -> dict[str, Any]:
        """A user's profile, or one field of it."""
        query = {"user_id": user_id} if field is None else {"user_id": user_id, "field": field}
        call = Call("GET", path(V1, "query", "profile"), query, timeout=QUICK, max_bytes=1024 * 1024)
        return self._converted(server, await self.conversation.value(server, call), dict[str, Any])

    async def public_rooms(
        self,
        server: ServerName,
        *,
        limit: int | None = None,
        since: str | None = None,
        filters: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
    ) -> answers.PublicRooms:
        """A page of the room directory; with `filters` a search.  `network`: include_all_networks or third_party_instance_id."""
        page: dict[str, Any] = {name: value for name, value in (("limit", limit), ("since", since)) if value is not None}
        page |= network or {}
        if filters:
            call = Call("POST", path(V1, "publicRooms"), {}, {**page, "filter": dict(filters)}, anyway=True)
        else:
            texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in page.items()}
            call = Call("GET", path(V1, "publicRooms"), texts, anyway=True)
        return self._converted(server, await self.conversation.value(server, call), answers.PublicRooms)

    async def hierarchy(self, server: ServerName, room_id: str, *, suggested_only: bool = False) -> answers.Hierarchy:
        """A space and its children."""
        call = Call("GET", path(V1, "hierarchy", room_id), {"suggested_only": "true" if suggested_only else "false"}, timeout=QUICK)
        return self._converted(server, await self.conversation.value(server, call), answers.Hierarchy)

    async def user_devices(self, server: ServerName, user_id: str, timeout: float = 30.0) -> Any:
        """A user's devices with their keys."""
        return await self.conversation.value(server, Call("GET", path(V1, "user", "devices", user_id), timeout=timeout))

    async def query_keys(self, server: ServerName, body: dict[str, Any], timeout: float = 10.0) -> Any:
        """The identity keys of users' devices."""
        return await self.conversation.value(server, Call("POST", path(V1, "user", "keys", "query"), {}, body, timeout))

    async def claim_keys(self, server: ServerName, body: dict[str, Any], timeout: float = 10.0) -> Any:
        """One-time keys."""
        return await self.conversation.value(server, Call("POST", path(V1, "user", "keys", "claim"), {}, body, timeout))

    async def openid_userinfo(self, server: ServerName, token: str) -> str:
        """The user whose OpenID token it is."""
        call = Call("GET", path(V1, "openid", "userinfo"), {"access_token": token}, timeout=QUICK, signed=False, anyway=True)
        return self._converted(server, await self.conversation.value(server, call), answers.UserInfo).sub

    async def version(self, server: ServerName) -> Any:
        """What software it is."""
        return await self.conversation.value(server, Call("GET", path(V1, "version"), timeout=QUICK, signed=False, anyway=True))

    # --- keys of servers ---------------------------------------------------------------------------------

    async def server_keys(self, server: ServerName) -> Any:
        """The document in which `server` publishes its keys."""
        call = Call("GET", path(KEY, "server"), timeout=QUICK, max_bytes=1024 * 1024, signed=False, anyway=True)
        return await self.conversation.value(server, call)

    async def query_server_keys(self, notary: ServerName, wanted: Mapping[ServerName, Mapping[str, int]]) -> list[Any]:
        """The documents that `notary` has of servers; `wanted` is server -> key id -> the time it must be good at."""
        asked = {server: {key: {"minimum_valid_until_ts": ts} for key, ts in keys.items()} for server, keys in wanted.items()}
        call = Call("POST", path(KEY, "query"), {}, {"server_keys": asked}, timeout=QUICK, signed=False, anyway=True)
        return list(self._converted(notary, await self.conversation.value(notary, call), answers.KeyDocuments).server_keys)

    # --- the rest ----------------------------------------------------------------------------------------

    async def stream(self, server: ServerName, path: str, *, timeout: float = QUICK, max_bytes: int = MOST_BYTES) -> Stream:
        """A signed GET (`path` percent-encoded, with its query) whose body is read as it comes, whatever its status."""
        # 502 and 504 are what healthy servers say of content that is too large or still to come: no word on how the server stands.
        return await self.conversation.stream(server, Call("GET", path, timeout=timeout, max_bytes=max_bytes, anyway=True, counts=False))

    async def file(self, server: ServerName, room_id: str, event_id: str, start: int, size: int) -> Stream:
        """The file of `size` bytes that an event of a swarm names, from byte `start` on, unread, whatever the status of the answer."""
        headers = {"accept": "*/*", "range": f"bytes={start}-"}
        call = Call("GET", path(FEDERATION, "files", room_id, event_id), {}, None, QUICK, size - start, headers, anyway=True)
        return await self.conversation.stream(server, call)

    async def ask(self, server: ServerName, method: str, path: str, body: Any | None = None, *, timeout: float = 30.0) -> Any:
        """Any other signed request, such as those that only servers of ours know."""
        return await self.conversation.value(server, Call(method, path, {}, body, timeout, anyway=True))

    async def _put(self, server: ServerName, path: str, body: Event) -> Any:
        return await self.conversation.value(server, Call("PUT", path, {}, body, anyway=True))

    async def _get(self, server: ServerName, path: str, query: Mapping[str, str | Sequence[str]], kind: type[T]) -> T:
        return await self.conversation.shaped(server, Call("GET", path, query, anyway=True), kind)

    def _converted(self, server: ServerName, value: Any, kind: type[T]) -> T:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise Nonsense(server, str(error)) from None
