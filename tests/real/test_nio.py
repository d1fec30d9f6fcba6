"""Two people with matrix-nio clients, on the server as a process: what they do all day, in plain rooms and in encrypted ones."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import nio
from nio.crypto import decrypt_attachment
from PIL import Image

from tests.real.nio_clients import Nio, clients, expect, fresh, log_in, meet, says
from tests.real.processes import Program

Story = Callable[[Nio, Nio], Awaitable[None]]


def told(ours: Program, stores: Path, story: Story) -> None:
    """Alice and Bob, who are new here, in a story."""

    async def tell() -> None:
        async with clients(stores, (ours.url, fresh("alice")), (ours.url, fresh("bob"))) as (alice, bob):
            await story(alice, bob)

    asyncio.run(tell())


def picture() -> bytes:
    """A picture of 640 to 480."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((640, 480)).save(file, "PNG")
    return file.getvalue()


def test_two_clients_talk_and_read_back(ours: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room = await meet(alice, bob)
        assert bob.client.rooms[room].name == "A table"
        await says(alice, room, "hello")
        assert (await bob.hears(room, "hello")).sender == alice.user_id
        for number in range(30):
            await says(bob, room, f"answer {number}")
        await alice.hears(room, "answer 29")
        spoken: list[str] = []
        start: str | None = ""
        while start is not None:
            page = expect(nio.RoomMessagesResponse, await alice.client.room_messages(room, start, limit=10))
            spoken += [event.body for event in page.chunk if isinstance(event, nio.RoomMessageText)]
            start = page.end
        assert spoken == [f"answer {number}" for number in range(29, -1, -1)] + ["hello"]

    told(ours, tmp_path, story)


def test_what_else_a_client_does_in_a_room(ours: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room = await meet(alice, bob)
        event_id = await says(alice, room, "a slip")
        await bob.hears(room, "a slip")
        expect(nio.RoomTypingResponse, await bob.client.room_typing(room, True))
        await alice.awaits(lambda: bob.user_id in alice.client.rooms[room].typing_users or None)
        expect(nio.RoomReadMarkersResponse, await bob.client.room_read_markers(room, event_id, event_id))
        await alice.awaits(lambda: bob.user_id in alice.client.rooms[room].read_receipts or None)
        expect(nio.ProfileSetDisplayNameResponse, await bob.client.set_displayname("Bobby"))
        await alice.awaits(lambda: alice.client.rooms[room].user_name(bob.user_id) == "Bobby" or None)
        expect(nio.RoomRedactResponse, await alice.client.room_redact(room, event_id, "never said"))
        await bob.awaits(lambda: next((e for _, e in bob.seen if isinstance(e, nio.RedactionEvent)), None))
        read = expect(nio.RoomGetEventResponse, await bob.client.room_get_event(room, event_id))
        assert isinstance(read.event, nio.RedactedEvent) and read.event.reason == "never said"
        expect(nio.RoomKickResponse, await alice.client.room_kick(room, bob.user_id, "enough"))
        await bob.awaits(lambda: room in bob.left or None)
        assert isinstance(await bob.client.room_send(room, "m.room.message", {"msgtype": "m.text", "body": "but"}), nio.RoomSendError)

    told(ours, tmp_path, story)


def test_a_picture_goes_from_one_client_to_the_other(ours: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room, file = await meet(alice, bob), picture()
        upload, _ = await alice.client.upload(io.BytesIO(file), "image/png", "sky.png", filesize=len(file))
        url = expect(nio.UploadResponse, upload).content_uri
        content = {"msgtype": "m.image", "body": "sky.png", "url": url, "info": {"w": 640, "h": 480, "mimetype": "image/png"}}
        expect(nio.RoomSendResponse, await alice.client.room_send(room, "m.room.message", content))
        shown = await bob.hears(room, "sky.png")
        assert isinstance(shown, nio.RoomMessageImage) and shown.url == url
        loaded = expect(nio.MemoryDownloadResponse, await bob.client.download(url))
        assert loaded.body == file and loaded.content_type == "image/png" and loaded.filename == "sky.png"
        server, media_id = url.removeprefix("mxc://").split("/")
        for width, height, method in ((96, 96, nio.ResizingMethod.crop), (320, 240, nio.ResizingMethod.scale)):
            small = expect(nio.ThumbnailResponse, await bob.client.thumbnail(server, media_id, width, height, method))
            assert Image.open(io.BytesIO(small.body)).size == (width, height)

    told(ours, tmp_path, story)


def test_two_clients_talk_end_to_end_encrypted(ours: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room = await meet(alice, bob, encrypted=True)
        assert alice.client.rooms[room].encrypted and bob.client.rooms[room].encrypted
        event_id = await says(alice, room, "a secret")
        heard = await bob.hears(room, "a secret")
        assert heard.decrypted and heard.sender == alice.user_id
        await says(bob, room, "another secret")
        assert (await alice.hears(room, "another secret")).decrypted
        # The server itself has only what it cannot read.
        page = expect(nio.RoomMessagesResponse, await _raw(bob).room_messages(room, "", limit=30))
        kept = next(event for event in page.chunk if event.event_id == event_id)
        assert isinstance(kept, nio.MegolmEvent) and "a secret" not in str(kept.source)
        # A device that logs in later is given the keys of what is said from then on.
        async with AsyncExitStack() as stack:
            phone = await log_in(stack, ours.url, phones, bob.user_id)
            await alice.awaits(lambda: phone.client.device_id in alice.client.device_store[bob.user_id] or None)
            await says(alice, room, "to both of you")
            for device in (bob, phone):
                assert (await device.hears(room, "to both of you")).decrypted

    phones = tmp_path / "phone"
    phones.mkdir()
    told(ours, tmp_path, story)


def _raw(person: Nio) -> nio.AsyncClient:
    """The same login without keys."""
    client = nio.AsyncClient(person.client.homeserver, config=nio.AsyncClientConfig(encryption_enabled=False, store=None))
    client.access_token, client.user_id = person.client.access_token, person.user_id
    client.client_session = person.client.client_session
    return client


def test_an_encrypted_picture_and_what_was_said_while_away(ours: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room, file = await meet(alice, bob, encrypted=True), picture()
        for number in range(25):  # Bob does not sync meanwhile: keys wait for him, the timeline has a gap
            await says(alice, room, f"secret {number}")
        upload, keys = await alice.client.upload(io.BytesIO(file), "image/png", "sky.png", encrypt=True, filesize=len(file))
        assert keys is not None
        keys["url"] = expect(nio.UploadResponse, upload).content_uri
        content = {"msgtype": "m.image", "body": "sky.png", "file": keys, "info": {"mimetype": "image/png"}}
        await alice.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
        shown = await bob.hears(room, "sky.png")
        assert isinstance(shown, nio.RoomEncryptedImage) and shown.decrypted
        loaded = expect(nio.MemoryDownloadResponse, await bob.client.download(shown.url))
        assert loaded.body != file and decrypt_attachment(loaded.body, shown.key["k"], shown.hashes["sha256"], shown.iv) == file
        page = expect(nio.RoomMessagesResponse, await bob.client.room_messages(room, "", limit=40))
        assert [e.body for e in page.chunk if isinstance(e, nio.RoomMessageText)] == [f"secret {number}" for number in range(24, -1, -1)]

    told(ours, tmp_path, story)


def test_clients_go_on_after_the_server_was_started_anew(ours: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room = await meet(alice, bob, encrypted=True)
        await says(alice, room, "before")
        with ours.stopped():
            """An update, perhaps."""
        await says(alice, room, "after")
        for body in ("before", "after"):
            assert (await bob.hears(room, body)).decrypted

    told(ours, tmp_path, story)
