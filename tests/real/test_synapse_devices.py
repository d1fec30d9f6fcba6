"""Devices, keys, messages to devices, typing, receipts, presence and files between a real Synapse and this server."""

import asyncio
import io
from pathlib import Path

from PIL import Image

from tests.real.nio_clients import clients, fresh, meet, says
from tests.real.sides import Sides


def test_device_lists_and_messages_to_devices(sides: Sides) -> None:
    alice, bob = sides.people()
    bob.syncs()
    sides.meet(alice, bob)
    bob.awaits("news of Alice's devices", lambda: alice.user_id in bob.changed)
    keys = {
        "user_id": alice.user_id,
        "device_id": alice.device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": {f"curve25519:{alice.device_id}": "c", f"ed25519:{alice.device_id}": "e"},
        "signatures": {alice.user_id: {f"ed25519:{alice.device_id}": "s"}},
    }
    one_time = {"signed_curve25519:AAAA": {"key": "k", "signatures": keys["signatures"]}}
    bob.changed.clear()
    alice.must("POST", "/keys/upload", {"device_keys": keys, "one_time_keys": one_time})
    bob.awaits("news of Alice's keys", lambda: alice.user_id in bob.changed)
    known = bob.must("POST", "/keys/query", {"device_keys": {alice.user_id: []}})
    assert known["device_keys"][alice.user_id][alice.device_id]["keys"] == keys["keys"]
    wanted = {"one_time_keys": {alice.user_id: {alice.device_id: "signed_curve25519"}}}
    assert bob.must("POST", "/keys/claim", wanted)["one_time_keys"][alice.user_id][alice.device_id] == one_time
    bob.must("PUT", f"/sendToDevice/org.example.note/{fresh('t')}", {"messages": {alice.user_id: {alice.device_id: {"note": 1}}}})
    alice.awaits("the note", lambda: alice.to_device)
    assert alice.to_device == [{"type": "org.example.note", "sender": bob.user_id, "content": {"note": 1}}]
    # A logout is news, too.
    bob.changed.clear()
    alice.must("POST", "/logout")
    bob.awaits("news of Alice's logout", lambda: alice.user_id in bob.changed)
    known = bob.must("POST", "/keys/query", {"device_keys": {alice.user_id: []}})
    assert known["device_keys"].get(alice.user_id, {}) == {}


def test_a_message_to_a_device_waits_until_its_server_is_back(sides: Sides) -> None:
    alice, bob = sides.people()
    sides.meet(alice, bob)
    with sides.guest.stopped():
        for number in range(3):
            note = {bob.user_id: {bob.device_id: {"note": number}}}
            alice.must("PUT", f"/sendToDevice/org.example.note/{fresh('t')}", {"messages": note})
    bob.awaits("three notes", lambda: len(bob.to_device) == 3)
    assert [event["content"]["note"] for event in bob.to_device] == [0, 1, 2]


def test_end_to_end_encryption_across_servers(sides: Sides, tmp_path: Path) -> None:
    async def story() -> None:
        async with clients(tmp_path, (sides.host.url, fresh("alice")), (sides.guest.url, fresh("bob"))) as (alice, bob):
            room = await meet(alice, bob, encrypted=True)
            for one, other in ((alice, bob), (bob, alice)):
                await one.awaits(
                    lambda one=one, other=other: bool(list(one.client.device_store.active_user_devices(other.user_id))) or None
                )
                text = f"a secret of {one.user_id}"
                await says(one, room, text)
                assert (await other.hears(room, text)).decrypted

    asyncio.run(story())


def test_files(sides: Sides) -> None:
    for one, other in (sides.people(), sides.people()[::-1]):
        file = io.BytesIO()
        Image.linear_gradient("L").resize((320, 240)).save(file, "PNG")
        url = one.must("POST", "/_matrix/media/v3/upload", file.getvalue(), filename="sky.png")["content_uri"]
        place = url.removeprefix("mxc://")
        loaded = other.ask("GET", f"/_matrix/client/v1/media/download/{place}")
        assert loaded.status == 200 and loaded.raw == file.getvalue() and loaded.headers["content-type"] == "image/png"
        assert "sky.png" in loaded.headers["content-disposition"]
        small = other.ask("GET", f"/_matrix/client/v1/media/thumbnail/{place}", width=32, height=32, method="crop")
        assert small.status == 200 and Image.open(io.BytesIO(small.raw)).size == (32, 32)
        assert other.ask("GET", f"/_matrix/client/v1/media/download/{one.server}/nothing").status == 404


def test_typing_receipts_and_presence(sides: Sides) -> None:
    alice, bob = sides.people()
    room = sides.meet(alice, bob)
    event_id = alice.says(room, "hello")
    bob.awaits_event(room, event_id)
    bob.must("PUT", f"/rooms/{room}/typing/{bob.user_id}", {"typing": True, "timeout": 20_000})
    bob.must("POST", f"/rooms/{room}/receipt/m.read/{event_id}", {})
    bob.must("PUT", f"/presence/{bob.user_id}/status", {"presence": "online", "status_msg": "reading"})
    alice.awaits("Bob's typing", lambda: bob.user_id in alice.typing.get(room, []))
    alice.awaits("Bob's receipt", lambda: alice.receipts.get((room, bob.user_id)) == event_id)
    alice.awaits("Bob's presence", lambda: alice.presence.get(bob.user_id, {}).get("status_msg") == "reading")
