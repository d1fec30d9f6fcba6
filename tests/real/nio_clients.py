"""matrix-nio as two people use it: clients that keep on syncing, and remember what they were shown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from nio import (
    AsyncClient,
    AsyncClientConfig,
    Event,
    InviteMemberEvent,
    KeysUploadResponse,
    LoginResponse,
    MatrixRoom,
    RegisterResponse,
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
async def clients(url: str, stores: Path, *names: str) -> AsyncIterator[list[Nio]]:
    """New accounts, each with a client that has its keys in a folder of its own."""
    async with AsyncExitStack() as stack:
        people = []
        for name in names:
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
