"""Replacing a room by one of a newer version, and what people keep."""

from typing import Any

import pytest

from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.versions import get
from homeserver.rooms.upgrades import Upgrade, muted_levels, new_levels
from tests.world import Client, Network, good, story


async def made(by: Client, **wish: Any) -> str:
    room: str = good(await by.post("/createRoom", wish))["room_id"]
    return room


async def state(by: Client, room: str, kind: str, key: str = "") -> Any:
    return good(await by.get(f"/rooms/{room}/state/{kind}/{key}"))


async def upgraded(by: Client, room: str, version: str, **more: Any) -> str:
    new: str = good(await by.post(f"/rooms/{room}/upgrade", {"new_version": version, **more}))["replacement_room"]
    return new


@story
async def test_the_new_room_is_like_the_old_one(network: Network) -> None:
    a = network.server("a")
    alice, mallory = await a.user("alice"), await a.user("mallory")
    readable = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    old = await made(
        alice, visibility="public", room_version="11", name="Tea", topic="Leaves", room_alias_name="tea", initial_state=[readable],
        creation_content={"type": "m.space"},
    )  # fmt: skip
    good(await alice.put(f"/rooms/{old}/state/m.space.child/!child:a", {"via": ["a"]}))
    good(await alice.post(f"/rooms/{old}/ban", {"user_id": mallory.user_id, "reason": "spam"}))
    new = await upgraded(alice, old, "10")

    tombstone = good(await alice.get(f"/rooms/{old}/state/m.room.tombstone", format="event"))
    assert tombstone["content"]["replacement_room"] == new
    create = await state(alice, new, "m.room.create")
    assert create["predecessor"] == {"room_id": old, "event_id": tombstone["event_id"]}
    assert (create["room_version"], create["type"], create["creator"]) == ("10", "m.space", alice.user_id)
    for kind in ("m.room.name", "m.room.history_visibility", "m.room.join_rules"):
        assert await state(alice, new, kind) == await state(alice, old, kind)
    assert (await state(alice, new, "m.room.topic"))["topic"] == "Leaves"
    assert await state(alice, new, "m.space.child", "!child:a") == {"via": ["a"]}
    assert await state(alice, new, "m.room.member", mallory.user_id) == {"membership": "ban", "reason": "spam"}

    assert good(await alice.get("/directory/room/%23tea:a"))["room_id"] == new
    assert (await state(alice, new, "m.room.canonical_alias"))["alias"] == "#tea:a"
    assert await state(alice, old, "m.room.canonical_alias") == {}
    assert [entry["room_id"] for entry in good(await alice.get("/publicRooms"))["chunk"]] == [new]

    levels = await state(alice, old, "m.room.power_levels")
    assert (levels["events_default"], levels["invite"]) == (50, 50)
    assert (await state(alice, new, "m.room.power_levels"))["events_default"] == 0


@story
async def test_version_12_has_creators_instead_of_levels(network: Network) -> None:
    a = network.server("a")
    alice, bob, carol = await a.user("alice"), await a.user("bob"), await a.user("carol")
    old = await made(alice, preset="public_chat", room_version="11")
    for one in (bob, carol):
        good(await one.post(f"/rooms/{old}/join", {}))
    levels = await state(alice, old, "m.room.power_levels")
    levels["users"] = {alice.user_id: 100, bob.user_id: 100, carol.user_id: 50}
    good(await alice.put(f"/rooms/{old}/state/m.room.power_levels", levels))
    new = await upgraded(alice, old, "12", additional_creators=[bob.user_id, alice.user_id])
    create = await state(alice, new, "m.room.create")
    assert create["predecessor"] == {"room_id": old}
    assert create["additional_creators"] == [bob.user_id]
    after = await state(alice, new, "m.room.power_levels")
    assert after["users"] == {carol.user_id: 50}
    assert after["events"]["m.room.tombstone"] == 150

    again = await upgraded(bob if await _joins(bob, new) else alice, new, "12")
    assert "additional_creators" not in await state(bob, again, "m.room.create")
    back = await upgraded(bob, again, "11")
    assert (await state(bob, back, "m.room.power_levels"))["users"] == {bob.user_id: 100, carol.user_id: 50}


async def _joins(who: Client, room: str) -> bool:
    return (await who.post(f"/rooms/{room}/join", {})).status == 200


@story
async def test_who_may_not_upgrade(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await made(alice, preset="public_chat")
    hidden = await made(alice, preset="private_chat")
    for target in (hidden, "!never:a"):
        answer = await bob.post(f"/rooms/{target}/upgrade", {"new_version": "12"})
        assert answer[:2] == (404, {"errcode": "M_NOT_FOUND", "error": "No such room"})
    assert (await bob.post(f"/rooms/{room}/upgrade", {"new_version": "12"})).status == 403
    good(await bob.post(f"/rooms/{room}/join", {}))
    assert (await bob.post(f"/rooms/{room}/upgrade", {"new_version": "12"})).status == 403
    assert (await alice.post(f"/rooms/{room}/upgrade", {"new_version": "nonsense"})).json["errcode"] == "M_UNSUPPORTED_ROOM_VERSION"
    assert (await alice.post(f"/rooms/{room}/upgrade", {"new_version": "12", "additional_creators": ["rubbish"]})).status == 400
    # Nothing of it left a trace.
    assert (await alice.get(f"/rooms/{room}/state/m.room.tombstone")).status == 404


MUTE: dict[str, Any] = {"actions": ["dont_notify"]}


async def _settings_for(who: Client, room: str) -> None:
    good(await who.put(f"/pushrules/global/room/{room}", MUTE))
    about = [{"kind": "event_match", "key": "room_id", "pattern": room}]
    good(await who.put(f"/pushrules/global/override/{room}", {"actions": [], "conditions": about}))
    good(await who.put(f"/user/{who.user_id}/rooms/{room}/tags/m.favourite", {"order": 0.5}))
    good(await who.put(f"/user/{who.user_id}/account_data/m.direct", {"@x:y": [room, "!other:a"], "@z:y": ["!other:a"]}))


async def _assert_carried(who: Client, old: str, new: str) -> None:
    rules = good(await who.get("/pushrules/"))["global"]
    assert {rule["rule_id"] for rule in rules["room"]} == {old, new}
    own = {rule["rule_id"]: rule for rule in rules["override"] if not rule["default"]}
    assert own[new]["conditions"][0]["pattern"] == new and own[old]["conditions"][0]["pattern"] == old
    assert good(await who.get(f"/user/{who.user_id}/rooms/{new}/tags")) == {"tags": {"m.favourite": {"order": 0.5}}}
    direct = good(await who.get(f"/user/{who.user_id}/account_data/m.direct"))
    assert direct == {"@x:y": [old, "!other:a", new], "@z:y": ["!other:a"]}


@story
async def test_settings_follow_those_who_follow(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, carol, bob = await a.user("alice"), await a.user("carol"), await b.user("bob")
    for version, by_hand in (("12", False), ("11", False), ("11", True)):
        old = await made(alice, preset="public_chat", room_version="10")
        good(await carol.post(f"/join/{old}", {}))
        good(await bob.post(f"/join/{old}", {}, via="a"))
        for one in (alice, carol, bob):
            await _settings_for(one, old)
        before = good(await carol.get("/sync"))["next_batch"]
        if by_hand:
            new = await made(alice, preset="public_chat", room_version=version, creation_content={"predecessor": {"room_id": old}})
            good(await alice.put(f"/rooms/{old}/state/m.room.tombstone", {"body": "gone", "replacement_room": new}))
        else:
            new = await upgraded(alice, old, version)
        good(await carol.post(f"/join/{new}", {}))
        good(await bob.post(f"/join/{new}", {}, via="a"))
        seen = good(await carol.get("/sync", since=before))["account_data"]["events"]
        assert {event["type"] for event in seen} == {"m.push_rules", "m.direct"}
        for one in (alice, carol, bob):
            await _assert_carried(one, old, new)
            for kind in ("room", "override"):
                for room in (old, new):
                    good(await one.delete(f"/pushrules/global/{kind}/{room}"))


@story
async def test_a_room_that_only_claims_to_replace_another_gets_nothing(network: Network) -> None:
    a = network.server("a")
    alice, mallory = await a.user("alice"), await a.user("mallory")
    old = await made(alice, preset="public_chat")
    await _settings_for(alice, old)
    fake = await made(mallory, preset="public_chat", creation_content={"predecessor": {"room_id": old}})
    good(await alice.post(f"/join/{fake}", {}))
    assert fake not in good(await alice.get(f"/user/{alice.user_id}/account_data/m.direct"))["@x:y"]
    assert good(await alice.get(f"/user/{alice.user_id}/rooms/{fake}/tags")) == {"tags": {}}


ME = UserID("@me:a")


@pytest.mark.parametrize(
    ("old", "new", "before", "users"),
    [
        ("9", "10", {"users": {ME: "100", "@b:a": "50", "@c:a": "rubbish"}}, {ME: 100, "@b:a": 50}),
        ("11", "12", {"users": {ME: 100, "@b:a": 50}}, {"@b:a": 50}),
        ("12", "11", {"users": {"@b:a": 150}}, {ME: 150, "@b:a": 150, "@creator:a": 150}),
    ],
)
def test_levels_fit_the_new_version(old: str, new: str, before: dict[str, Any], users: dict[str, int]) -> None:
    upgrade = Upgrade(RoomID("!old:a"), ME, get(new), (), {})
    levels = new_levels(before, get(old), ["@creator:a"], upgrade)
    assert levels["users"] == users
    assert levels["events"].get("m.room.tombstone") == (150 if new == "12" else None)


def test_the_old_room_is_muted_only_as_far_as_it_spoke() -> None:
    assert muted_levels({}, get("12")) == {"events_default": 50, "invite": 50}
    assert muted_levels({"users_default": 60, "invite": 70}, get("12")) == {"users_default": 60, "events_default": 61, "invite": 70}
