"""Users who take what is not theirs: later history, other users' sessions, power, the time of other servers."""

from typing import Any

from tests.federation.test_between_servers import says, settled, shared_room
from tests.hostile.liars import lying
from tests.hostile.liars import says as answers
from tests.world import Client, Network, good, story


async def say(who: Client, room: str, name: str, content: dict[str, Any]) -> str:
    return str(good(await who.put(f"/rooms/{room}/send/m.room.message/{name}", {"msgtype": "m.text", "body": name} | content))["event_id"])


@story
async def test_who_left_sees_nothing_that_came_later(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await shared_room(alice, bob)
    root = await say(alice, room, "root", {})
    await say(alice, room, "early", {"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    good(await bob.post(f"/rooms/{room}/leave", {}))
    late = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    await say(alice, room, "afterwards", late)
    await say(alice, room, "edit", {"m.new_content": {"body": "secret"}, "m.relates_to": {"rel_type": "m.replace", "event_id": root}})
    await say(alice, room, "reference", {"m.relates_to": {"rel_type": "m.reference", "event_id": root}})
    carol = await a.user("carol")
    good(await carol.post(f"/join/{room}", {}))
    now = good(await alice.get("/sync"))["next_batch"]

    async def reads(who: Client) -> str:
        found = [
            await who.get(f"/rooms/{room}/event/{root}"),
            await who.get(f"/rooms/{room}/context/{root}"),
            await who.get(f"/rooms/{room}/messages", dir="b", limit=100),
            await who.get(f"/_matrix/client/v1/rooms/{room}/relations/{root}"),
            await who.get(f"/_matrix/client/v1/rooms/{room}/threads"),
            await who.get(f"/rooms/{room}/members", at=now),
            await who.get(f"/rooms/{room}/state"),
            await who.get("/sync", filter='{"room":{"include_leave":true}}'),
            await who.post("/search", {"search_categories": {"room_events": {"search_term": "secret"}}}),
        ]
        return "".join(str(reply.json) for reply in found).replace("'highlights': ['secret']", "")

    for what in ("afterwards", "secret", "'reference'", carol.user_id):
        assert what in await reads(alice) or what == "'reference'"
        assert what not in await reads(bob), what
    assert "early" in await reads(bob)
    # To be invited again, to say no, to be banned, opens nothing.
    good(await alice.post(f"/rooms/{room}/invite", {"user_id": bob.user_id}))
    assert "secret" not in await reads(bob) and "afterwards" not in await reads(bob)
    good(await bob.post(f"/rooms/{room}/leave", {}))
    assert "secret" not in await reads(bob) and carol.user_id not in await reads(bob)
    good(await alice.post(f"/rooms/{room}/ban", {"user_id": bob.user_id}))
    assert "secret" not in await reads(bob) and carol.user_id not in await reads(bob)


@story
async def test_an_event_is_found_in_its_own_room_only(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    open_room = await shared_room(alice, bob)
    secret = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    event_id = await says(alice, secret, "secret")
    for who, room in ((bob, open_room), (bob, secret), (alice, open_room)):
        for path in (
            f"/rooms/{room}/event/{event_id}",
            f"/rooms/{room}/context/{event_id}",
            f"/_matrix/client/v1/rooms/{room}/relations/{event_id}",
        ):
            reply = await who.get(path)
            assert (reply.status, reply.json["errcode"]) == (404, "M_NOT_FOUND"), path
        receipt = await who.post(f"/rooms/{room}/receipt/m.read/{event_id}", {})
        assert receipt.status in (403, 404)
        redacted = await who.put(f"/rooms/{room}/redact/{event_id}/x", {})
        assert redacted.status == 403 or "content" in good(await alice.get(f"/rooms/{secret}/event/{event_id}"))
    assert good(await alice.get(f"/rooms/{secret}/event/{event_id}"))["content"]["body"] == "secret"


@story
async def test_memberships_by_way_of_the_state(network: Network) -> None:
    a = network.server("a")
    alice, bob, carol = await a.user("alice"), await a.user("bob"), await a.user("carol")
    space = good(await alice.post("/createRoom", {"preset": "private_chat", "room_version": "11"}))["room_id"]
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rule}]
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "room_version": "11", "initial_state": state}))["room_id"]
    vouched = {"membership": "join", "join_authorised_via_users_server": alice.user_id}
    member = f"/rooms/{room}/state/m.room.member"
    for path, content in (
        (f"{member}/{bob.user_id}", vouched),
        (f"{member}/{bob.user_id}", {"membership": "knock"}),
        (f"{member}/{carol.user_id}", vouched),
        (f"{member}/{bob.user_id}", {"membership": "invite", "third_party_invite": {"signed": {"mxid": bob.user_id, "token": "x"}}}),
        (f"{member}/{alice.user_id}", {"membership": "leave"}),
        (f"/rooms/{room}/state/m.room.create", {}),
        (f"/rooms/{room}/send/m.room.member/1", vouched),
        (f"/rooms/{room}/send/m.room.create/1", {}),
    ):
        for query in ({}, {"org.matrix.msc4140.delay": 1}):
            reply = await bob.put(path, content, **query)
            assert reply.status in (400, 403), (path, query, reply)
    for path in (f"/join/{room}", f"/rooms/{room}/join", f"/knock/{room}"):
        assert (await bob.post(path, vouched)).status in (403, 404)
    await network.passes(10)
    assert set(good(await alice.get(f"/rooms/{room}/joined_members"))["joined"]) == {alice.user_id}


@story
async def test_power_is_not_taken(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    for version in ("9", "11", "12"):
        room = await shared_room(alice, bob, version=version)
        levels = good(await alice.get(f"/rooms/{room}/state/m.room.power_levels"))
        half = {**levels, "users": {**levels.get("users", {}), bob.user_id: 50}, "state_default": 50, "events": {"m.room.power_levels": 50}}
        good(await alice.put(f"/rooms/{room}/state/m.room.power_levels", half))
        for odd in (
            {**half, "users": {**half["users"], bob.user_id: 51}},
            {**half, "users": {**half["users"], bob.user_id: "100"}},
            {**half, "users": {**half["users"], "@eve:a": 60}},
            {**half, "users": {bob.user_id: 50, **({} if version == "12" else {alice.user_id: 0})}, "users_default": 51},
            {**half, "state_default": 60},
            {**half, "events": {"m.room.power_levels": 51}},
            {**half, "users": "x"},
            {**half, "users": {"nonsense": 5}},
            {**half, "ban": 2**53},
            {**half, "kick": 1.5},
        ):
            reply = await bob.put(f"/rooms/{room}/state/m.room.power_levels", odd)
            assert reply.status in (400, 403), (version, odd)
        message = await says(alice, room, "hello")
        for path in (f"/rooms/{room}/redact/{message}/r", f"/rooms/{room}/send/m.room.redaction/s"):
            quiet = {**half, "redact": 60}
            good(await alice.put(f"/rooms/{room}/state/m.room.power_levels", quiet))
            assert (await bob.put(path, {"redacts": message})).status == 403
        assert good(await alice.get(f"/rooms/{room}/event/{message}"))["content"]
        good(await alice.put(f"/rooms/{room}/state/m.room.server_acl", {"allow": ["*"]})) if version != "12" else None


@story
async def test_no_other_server_ends_a_session(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice = await a.user("alice")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    codes = ("M_UNKNOWN_TOKEN", "M_USER_DEACTIVATED", "M_FORBIDDEN", "M_USER_LOCKED", 5)
    for status in (401, 403, 999):
        for errcode in codes if status == 401 else codes[:1]:
            lying(b, _matrix=answers({"errcode": errcode, "error": "x", "soft_logout": True}, status))
            network.servers["b"].lies["_matrix/key"] = lambda _, response: response  # type: ignore[attr-defined]
            for reply in (
                await alice.post("/join/!x:b", {}, server_name=["b"]),
                await alice.post("/knock/!x:b", {}, server_name=["b"]),
                await alice.post("/join/%23x:b", {}),
                await alice.get("/directory/room/%23x:b"),
                await alice.get("/profile/@x:b"),
                await alice.get("/publicRooms", server="b"),
                await alice.post("/keys/query", {"device_keys": {"@x:b": []}}),
                await alice.post("/keys/claim", {"one_time_keys": {"@x:b": {"D": "signed_curve25519"}}}),
                await alice.post(f"/rooms/{room}/invite", {"user_id": "@x:b"}),
                await alice.get("/_matrix/client/v1/media/download/b/abc"),
            ):
                assert reply.status in (200, 400, 403, 404, 429, 502, 504), (status, errcode, reply)
                assert reply.status == 200 or (reply.json or {}).get("errcode") not in (
                    "M_UNKNOWN_TOKEN",
                    "M_MISSING_TOKEN",
                    "M_USER_DEACTIVATED",
                    "M_USER_LOCKED",
                )
                assert reply.status == 200 or not (reply.json or {}).get("soft_logout")
        await network.passes(4000)
    good(await alice.get("/account/whoami"))


@story
async def test_one_event_makes_us_ask_few_servers(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    asked = len(network.log)
    aliases = [f"#x:server{number}" for number in range(1000)]
    for who in (alice, bob):
        reply = await who.put(f"/rooms/{room}/state/m.room.canonical_alias", {"alt_aliases": aliases})
        assert (reply.status, reply.json["errcode"]) in ((400, "M_INVALID_PARAM"), (403, "M_FORBIDDEN"))
    assert len(network.log) - asked <= 20
    await settled(network)


ADMINISTRATORS = [
    ("GET", "/_matrix/client/v1/admin/lock/@alice:a"),
    ("PUT", "/_matrix/client/v1/admin/lock/@alice:a"),
    ("PUT", "/_matrix/client/v1/admin/suspend/@alice:a"),
    ("GET", "/_matrix/client/v3/admin/whois/@alice:a"),
]


@story
async def test_what_is_for_administrators_is_for_administrators(network: Network) -> None:
    a = network.server("a")
    await a.user("alice")
    bob = await a.user("bob")
    open_to_all = ("v1/register", "/server_version")
    declared = [one for one in a.server.router.endpoints() if "/admin" in one.route.path and not one.route.path.endswith(open_to_all)]
    for method, path in ADMINISTRATORS + [(one.route.method, one.route.path.replace("{", "").replace("}", "")) for one in declared]:
        for who, status in ((bob, 403), (a.stranger(), 401), (a.stranger("nonsense"), 401)):
            reply = await who.request(method, path, {"locked": True, "suspended": True})
            assert reply.status == status or (reply.status == 400 and "whois" in path), (method, path, reply)
