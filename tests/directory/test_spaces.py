"""Trees of spaces and summaries of rooms: what is in them, and what is not for everybody's eyes."""

from typing import Any

import pytest

from tests.world import Client, Network, good, story

READABLE = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}


async def room(by: Client, name: str, **wish: Any) -> str:
    made: str = good(await by.post("/createRoom", {"preset": "public_chat", "name": name, **wish}))["room_id"]
    return made


async def space(by: Client, name: str, **wish: Any) -> str:
    return await room(by, name, creation_content={"type": "m.space"}, **wish)


async def link(by: Client, parent: str, child: str, via: str = "a", **more: Any) -> None:
    good(await by.put(f"/rooms/{parent}/state/m.space.child/{child}", {"via": [via], **more}))


async def tree(who: Client, root: str, **query: Any) -> Any:
    return good(await who.get(f"/_matrix/client/v1/rooms/{root}/hierarchy", **query))


def names(answer: Any) -> list[str]:
    return [entry["name"] for entry in answer["rooms"]]


async def world_of_rooms(by: Client) -> dict[str, str]:
    """Root has One (suggested), Sub and Two (suggested); Sub has Deep; Deep has Three and Four."""
    made = {name: await space(by, name) for name in ("Root", "Sub", "Deep")}
    made |= {name: await room(by, name) for name in ("One", "Two", "Three", "Four")}
    for parent, child, more in (
        ("Root", "Two", {"suggested": True, "order": "b"}), ("Root", "One", {"suggested": True, "order": "a"}),
        ("Root", "Sub", {"order": "aa"}), ("Sub", "Deep", {}), ("Deep", "Three", {}), ("Deep", "Four", {}),
    ):  # fmt: skip
        await link(by, made[parent], made[child], **more)
    await link(by, made["Deep"], made["Root"])  # a circle
    await link(by, made["Two"], made["Four"])  # not a space: leads nowhere
    return made


@story
async def test_a_tree_is_walked_from_parents_to_children(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    made = await world_of_rooms(alice)
    whole = await tree(alice, made["Root"])
    assert names(whole) == ["Root", "One", "Sub", "Deep", "Three", "Four", "Two"] or names(whole)[4:6] == ["Four", "Three"]
    root = whole["rooms"][0]
    assert [event["state_key"] for event in root["children_state"]] == [made["One"], made["Sub"], made["Two"]]
    assert set(root["children_state"][0]) == {"type", "state_key", "content", "sender", "origin_server_ts"}
    assert root["room_type"] == "m.space" and root["room_version"] == "12" and root["num_joined_members"] == 1
    assert whole["rooms"][-1]["children_state"] == []

    assert names(await tree(alice, made["Root"], max_depth=1)) == ["Root", "One", "Sub", "Two"]
    assert names(await tree(alice, made["Root"], max_depth=0)) == ["Root"]
    assert names(await tree(alice, made["Root"], suggested_only="true")) == ["Root", "One", "Two"]
    one = await tree(alice, made["Root"], limit=4)
    two = await tree(alice, made["Root"], limit=4, **{"from": one["next_batch"]})
    assert names(one) + names(two) == names(whole) and "next_batch" not in two
    for query in ({"max_depth": 2}, {"suggested_only": "true"}):
        changed = await alice.get(f"/_matrix/client/v1/rooms/{made['Root']}/hierarchy", **{"from": one["next_batch"]}, **query)
        assert (changed.status, changed.json["errcode"]) == (400, "M_INVALID_PARAM")
    await link(alice, made["Root"], made["Sub"])
    good(await alice.put(f"/rooms/{made['Root']}/state/m.space.child/{made['Sub']}", {}))
    assert names(await tree(alice, made["Root"])) == ["Root", "One", "Two"]


@story
async def test_what_one_may_not_join_is_not_there(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    root = await space(alice, "Root")
    closed, behind = await space(alice, "Closed", preset="private_chat"), await room(alice, "Behind")
    allow = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": root}]}
    members = await room(alice, "For members", initial_state=[{"type": "m.room.join_rules", "content": allow}])
    await link(alice, root, closed)
    await link(alice, closed, behind)
    await link(alice, root, members)
    assert names(await tree(bob, root)) == ["Root"]
    good(await bob.post(f"/join/{root}", {}))
    assert names(await tree(bob, root)) == ["Root", "For members"]
    good(await alice.post(f"/rooms/{closed}/invite", {"user_id": bob.user_id}))
    assert set(names(await tree(bob, root))) == {"Root", "Closed", "Behind", "For members"}

    eve = await a.user("eve")
    answers = [await eve.get(f"/_matrix/client/v1/rooms/{target}/hierarchy") for target in (closed, "!never:a", "!never:b")]
    assert {(answer.status, answer.raw) for answer in answers} == {(403, answers[0].raw)}
    seen = [await eve.get(f"/_matrix/client/v1/room_summary/{target}") for target in (closed, "!never:a")]
    assert {(answer.status, answer.raw) for answer in seen} == {(404, seen[0].raw)}


@story
async def test_a_tree_reaches_over_servers(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    root, far = await space(alice, "Root"), await space(bob, "Far")
    leaf, hidden, near = await room(bob, "Leaf"), await room(bob, "Hidden", preset="private_chat"), await room(alice, "Near")
    await link(alice, root, far, via="b")
    for child, via in ((leaf, "b"), (hidden, "b"), (near, "a")):
        await link(bob, far, child, via=via)
    assert set(names(await tree(alice, root))) == {"Root", "Far", "Leaf", "Near"}
    assert set(names(await tree(alice, root))) == {"Root", "Far", "Leaf", "Near"}
    assert len([path for _, _, _, path in network.log if "/hierarchy/" in path and far[1:9] in path]) == 1  # remembered for a while
    # Without a space of one's own: by `via`.
    assert set(names(await tree(alice, far, via="b"))) == {"Far", "Leaf", "Near"}
    network.down.add("b")
    await network.clock.sleep(600)
    assert names(await tree(alice, root)) == ["Root"]


@story
async def test_a_room_elsewhere_for_members_of_a_room_here(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, carol = await a.user("alice"), await a.user("bob"), await b.user("carol")
    root = await space(alice, "Root", initial_state=[READABLE])
    allow = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": root}]}
    members = await room(carol, "For members", initial_state=[{"type": "m.room.join_rules", "content": allow}])
    await link(alice, root, members, via="b")
    # b does not know who is in the space.
    assert names(await tree(alice, root)) == ["Root"]
    good(await carol.post(f"/join/{root}", {}, via="a"))
    assert names(await tree(alice, root)) == ["Root", "For members"]
    assert names(await tree(bob, root)) == ["Root"]


@story
async def test_summaries_by_id_alias_and_from_elsewhere(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    made = await room(alice, "Tea", topic="Leaves", room_alias_name="tea", initial_state=[encryption])
    for path in (f"/_matrix/client/v1/room_summary/{made}", "/_matrix/client/unstable/im.nheko.summary/rooms/%23tea:a/summary"):
        summary = good(await alice.get(path.replace("%23", "#")))
        assert summary["membership"] == "join" and summary["encryption"] == "m.megolm.v1.aes-sha2"
        assert (summary["name"], summary["topic"], summary["join_rule"], summary["room_version"]) == ("Tea", "Leaves", "public", "12")
        assert "allowed_room_ids" not in summary and "children_state" not in summary
    assert "membership" not in good(await a.stranger().get(f"/_matrix/client/v1/room_summary/{made}"))
    assert good(await bob.get("/_matrix/client/v1/room_summary/#tea:a"))["name"] == "Tea"
    assert good(await bob.get(f"/_matrix/client/v1/room_summary/{made}", via="a"))["num_joined_members"] == 1
    assert (await bob.get(f"/_matrix/client/v1/room_summary/{made}")).status == 404
    assert (await b.stranger().get(f"/_matrix/client/v1/room_summary/{made}", via="a")).status == 404


@pytest.mark.parametrize("path", ["hierarchy/{room}", "timestamp_to_event/{room}?ts=1&dir=f"])
@story
async def test_a_strange_server_cannot_tell_a_hidden_room_from_none(network: Network, path: str) -> None:
    a, b = network.server("a"), network.server("b")
    hidden = await space(await a.user("alice"), "Hidden", preset="private_chat")
    told = []
    for target in (hidden, "!" + "x" * (len(hidden) - 1)):
        with pytest.raises(Exception, match="404") as caught:
            await b.server.federation.peers.ask(a.name, "GET", "/_matrix/federation/v1/" + path.format(room=target))
        told.append(str(caught.value))
    assert told[0] == told[1]


@story
async def test_what_others_say_is_not_believed_blindly(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    root, far = await space(alice, "Root"), await space(bob, "Far")
    await link(alice, root, far, via="b")
    for child in ("!secret:a", "rubbish", "!x:b"):
        good(await bob.put(f"/rooms/{far}/state/m.space.child/{child}", {"via": [1, None, "b", "", "a"], "order": {"a": 1}}))
    secret = await room(alice, "Secret", preset="private_chat")
    await link(bob, far, secret, via="b")
    assert names(await tree(alice, root)) == ["Root", "Far", "Secret"]  # alice is in it, by our own knowledge
    carol = await a.user("carol")
    assert names(await tree(carol, root)) == ["Root", "Far"]
