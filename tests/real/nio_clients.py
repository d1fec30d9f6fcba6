"""matrix-nio as two people use it: clients that keep on syncing, and remember what they were shown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from nio import (
    AsyncClient,
    AsyncClientConfig,
    Event,
    InviteMemberEvent,
    JoinResponse,
    KeysUploadResponse,
    LoginResponse,
    MatrixRoom,
    RegisterResponse,
    RoomCreateResponse,
    RoomInviteResponse,
    RoomSendResponse,
    SyncResponse,
)

PATIENCE = 20.0
PASSWORD = "a long password"

T = TypeVar("T")


class Nio:
    """A nio client that is logged in, and what its callbacks were given."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.seen: list[tuple[str, Event]] = []
        self.invites: list[str] = []
        self.left: list[str] = []
        client.add_event_callback(self._sees, Event)
        client.add_event_callback(self._is_invited, InviteMemberEvent)

    async def _sees(self, room: MatrixRoom, event: Event) -> None:
        self.seen.append((room.room_id, event))

    async def _is_invited(self, room: MatrixRoom, event: Event) -> None:
        self.invites.append(room.room_id)

    @property
    def user_id(self) -> str:
        """Who it is."""
        user_id: str = self.client.user_id
        return user_id

    async def syncs(self, wait: int = 0) -> None:
        """One sync, with the key chores `sync_forever` does."""
        answer = expect(SyncResponse, await self.client.sync(timeout=wait, full_state=self.client.next_batch == ""))
        self.left += answer.rooms.leave
        if self.client.should_upload_keys:
            expect(KeysUploadResponse, await self.client.keys_upload())
        if self.client.should_query_keys:
            await self.client.keys_query()
        if self.client.should_claim_keys:
            await self.client.keys_claim(self.client.get_users_for_key_claiming())
        await self.client.send_to_device_messages()

    async def awaits(self, found: Callable[[], T | None]) -> T:
        """Sync until something is found."""
        async with asyncio.timeout(PATIENCE):
            while (result := found()) is None:
                await self.syncs(500)
            return result

    async def hears(self, room: str, body: str) -> Event:
        """Sync until somebody says this in the room."""
        return await self.awaits(lambda: next((e for r, e in self.seen if r == room and getattr(e, "body", None) == body), None))


def expect(kind: type[T], answer: Any) -> T:
    """The answer, which must be of this kind: nio returns errors instead of raising them."""
    assert isinstance(answer, kind), answer
    return answer


@asynccontextmanager
async def clients(stores: Path, *accounts: tuple[str, str]) -> AsyncIterator[list[Nio]]:
    """New accounts, given as URL of the server and name, each with a client that has its keys in a folder of its own."""
    async with AsyncExitStack() as stack:
        people = []
        for url, name in accounts:
            await asyncio.to_thread((stores / name).mkdir, parents=True)
            await _register(url, name)
            people.append(await log_in(stack, url, stores / name, name))
        yield people


async def _register(url: str, name: str) -> None:
    client = AsyncClient(url)
    try:
        expect(RegisterResponse, await client.register(name, PASSWORD))
    finally:
        await client.close()


async def log_in(stack: AsyncExitStack, url: str, store: Path, name: str) -> Nio:
    """A further device of somebody; `store` is a folder for its keys."""
    config = AsyncClientConfig(encryption_enabled=True, request_timeout=20, max_timeouts=1)
    client = AsyncClient(url, name, store_path=str(store), config=config)
    stack.push_async_callback(client.close)
    expect(LoginResponse, await client.login(PASSWORD, device_name=f"nio of {name}"))
    person = Nio(client)
    await person.syncs()
    return person


def fresh(name: str) -> str:
    """A name nobody had before."""
    return f"{name}-{uuid4().hex[:8]}"


def known(one: Nio, room: str, other: Nio) -> bool | None:
    """Whether the client knows that the other is in the room."""
    return (room in one.client.rooms and other.user_id in one.client.rooms[room].users) or None


async def meet(alice: Nio, bob: Nio, *, encrypted: bool = False) -> str:
    """A room of Alice with Bob in it."""
    state = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}] if encrypted else []
    room: str = expect(RoomCreateResponse, await alice.client.room_create(name="A table", initial_state=state)).room_id
    expect(RoomInviteResponse, await alice.client.room_invite(room, bob.user_id))
    await bob.awaits(lambda: room in bob.invites or None)
    expect(JoinResponse, await bob.client.join(room))
    for one, other in ((alice, bob), (bob, alice)):
        await one.awaits(lambda one=one, other=other: known(one, room, other))  # type: ignore[misc]
    return room


async def says(one: Nio, room: str, body: str) -> str:
    """Say something; the event's id."""
    content = {"msgtype": "m.text", "body": body}
    sent = expect(RoomSendResponse, await one.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True))
    event_id: str = sent.event_id
    return event_id
