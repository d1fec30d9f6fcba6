"""Ordinary clients in a swarm, over real sockets, on two servers: they see a room like any other."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nio
import pytest

from homeserver.events.swarm.names import PROFILE
from homeserver.events.versions import SWARM
from tests.certificates import Authority
from tests.real import processes
from tests.real.nio_clients import Nio, clients, expect, fresh, says
from tests.real.processes import Program
from tests.real.sides import Sides, person
from tests.real.test_nio import picture

MEGOLM = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


@pytest.fixture(scope="module")
def theirs(engine: str, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Another of our servers."""
    with processes.homeserver(tmp_path_factory.mktemp("theirs"), authority, engine) as program:
        yield program


def told(here: Program, there: Program, stores: Path, story: Callable[[Nio, Nio], Awaitable[None]]) -> None:
    """Alice on one server, Bob on the other."""

    async def tell() -> None:
        async with clients(stores, (here.url, fresh("alice")), (there.url, fresh("bob"))) as (alice, bob):
            await story(alice, bob)

    asyncio.run(tell())


async def meet(alice: Nio, bob: Nio, *state: Any, **more: Any) -> str:
    """A swarm of Alice with Bob in it, each having seen the other."""
    made = await alice.client.room_create(room_version=SWARM.id, initial_state=state, **more)
    room: str = expect(nio.RoomCreateResponse, made).room_id
    expect(nio.RoomInviteResponse, await alice.client.room_invite(room, bob.user_id))
    await bob.awaits(lambda: room in bob.invites or None)
    expect(nio.JoinResponse, await bob.client.join(room))
    for one, other in ((alice, bob), (bob, alice)):
        known = lambda one=one, other=other: (room in one.client.rooms and other.user_id in one.client.rooms[room].users) or None  # noqa: E731
        await one.awaits(known)
    return room


def test_a_room_like_any_other(ours: Program, theirs: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room = await meet(alice, bob, name="A table", topic="For two")
        seen = bob.client.rooms[room]
        assert (seen.name, seen.topic, seen.room_version, seen.join_rule) == ("A table", "For two", SWARM.id, "invite")
        upload, _ = await alice.client.upload(io.BytesIO(picture()), "image/png", "sky.png", filesize=len(picture()))
        url = expect(nio.UploadResponse, upload).content_uri
        edits = (("m.room.name", {"name": "Our table"}), ("m.room.topic", {"topic": "Still"}), ("m.room.avatar", {"url": url}))
        for kind, content in edits:
            expect(nio.RoomPutStateResponse, await alice.client.room_put_state(room, kind, content))
        for one in (alice, bob):
            shown = one.client.rooms[room]
            await one.awaits(lambda shown=shown: shown.room_avatar_url == url or None)
            assert (shown.name, shown.topic) == ("Our table", "Still")
        assert isinstance(await bob.client.room_put_state(room, "m.room.name", {"name": "Bob's"}), nio.RoomPutStateError)
        text = await says(alice, room, "a slip")
        await bob.hears(room, "a slip")
        edit = {"msgtype": "m.text", "body": "* a step", "m.new_content": {"msgtype": "m.text", "body": "a step"}}
        edit["m.relates_to"] = {"rel_type": "m.replace", "event_id": text}
        expect(nio.RoomSendResponse, await alice.client.room_send(room, "m.room.message", edit))
        await bob.hears(room, "* a step")
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": text, "key": "👍"}}
        expect(nio.RoomSendResponse, await bob.client.room_send(room, "m.reaction", reaction))
        await alice.awaits(lambda: next((e for _, e in alice.seen if isinstance(e, nio.ReactionEvent) and e.reacts_to == text), None))
        expect(nio.RoomTypingResponse, await bob.client.room_typing(room, True))
        await alice.awaits(lambda: bob.user_id in alice.client.rooms[room].typing_users or None)
        expect(nio.RoomReadMarkersResponse, await bob.client.room_read_markers(room, text, text))
        await alice.awaits(lambda: bob.user_id in alice.client.rooms[room].read_receipts or None)
        expect(nio.ProfileSetDisplayNameResponse, await bob.client.set_displayname("Bobby"))
        await alice.awaits(lambda: alice.client.rooms[room].user_name(bob.user_id) == "Bobby" or None)
        expect(nio.RoomRedactResponse, await alice.client.room_redact(room, text, "never said"))
        await bob.awaits(lambda: next((e for _, e in bob.seen if isinstance(e, nio.RedactionEvent)), None))
        page = expect(nio.RoomMessagesResponse, await bob.client.room_messages(room, "", limit=100))
        assert sum(isinstance(event, nio.RoomNameEvent) for event in page.chunk) >= 2
        expect(nio.RoomLeaveResponse, await bob.client.room_leave(room))
        await alice.awaits(lambda: bob.user_id not in alice.client.rooms[room].users or None)

    told(ours, theirs, tmp_path, story)


def test_end_to_end_encryption(ours: Program, theirs: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        room = await meet(alice, bob, MEGOLM)
        for one, other, text in ((alice, bob, "a secret"), (bob, alice, "another")):
            await says(one, room, text)
            assert (await other.hears(room, text)).decrypted

    told(ours, theirs, tmp_path, story)


def test_a_chat_between_two_is_a_direct_one(ours: Program, theirs: Program, tmp_path: Path) -> None:
    async def story(alice: Nio, bob: Nio) -> None:
        made = await alice.client.room_create(room_version=SWARM.id, is_direct=True, invite=[bob.user_id])
        room = expect(nio.RoomCreateResponse, made).room_id
        await bob.awaits(lambda: room in bob.invites or None)
        expect(nio.JoinResponse, await bob.client.join(room))
        await bob.awaits(lambda: room in bob.client.rooms or None)
        await says(bob, room, "hello")
        await alice.hears(room, "hello")
        carla = alice.user_id.replace("alice", "carla")
        assert isinstance(await alice.client.room_invite(room, carla), nio.RoomInviteError)

    told(ours, theirs, tmp_path, story)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_made_and_joined_over_sockets(ours: Program, theirs: Program, mode: int) -> None:
    sides = Sides(ours, theirs)
    alice, bob = sides.people()
    content = {"mode": mode, **({"invited": bob.user_id} if mode == 0 else {})}
    room = alice.creates(room_version=SWARM.id, creation_content=content, name="A table")
    if mode != 3:
        bob.may_not_join(room, alice.server) if mode else None
        alice.invites(bob, room)
        bob.awaits_membership(room, "invite")
        assert {event["type"]: event["content"] for event in bob.shown[room]}["m.room.name"]["name"] == "A table"
    bob.joins(room, alice.server)
    alice.awaits_member(room, bob.user_id, "join")
    bob.awaits_event(room, alice.says(room, "hello"))
    event = alice.awaits_event(room, bob.says(room, "hello yourself"))
    assert event["content"]["org.homeserver.device"] == bob.device_id


def test_what_sliding_sync_and_summaries_tell(ours: Program, theirs: Program) -> None:
    alice, bob = person(ours, "alice"), person(theirs, "bob")
    room = alice.creates(room_version=SWARM.id, preset="public_chat", name="A table", topic="For all")
    bob.joins(room, alice.server)
    bob.awaits_event(room, alice.says(room, "hello"))
    wanted = {"lists": {"all": {"ranges": [[0, 9]], "timeline_limit": 10, "required_state": [["m.room.name", ""], [PROFILE, ""]]}}}
    shown = bob.must("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", wanted)["rooms"][room]
    assert shown["name"] == "A table" and shown["timeline"][-1]["content"]["body"] == "hello"
    assert {event["type"] for event in shown["required_state"]} == {"m.room.name", PROFILE}
    stranger = person(ours, "carla")
    summary = stranger.must("GET", f"/_matrix/client/v1/room_summary/{room}")
    assert (summary["name"], summary["topic"], summary["num_joined_members"], summary["join_rule"]) == ("A table", "For all", 2, "public")
    assert SWARM.id in (summary.get("room_version"), summary.get("im.nheko.summary.room_version"))
