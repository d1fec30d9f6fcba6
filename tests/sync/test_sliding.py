"""Sliding sync as clients see it: windows, what is told once, what is told again, what is lost and what is not."""

from typing import Any

from twisted.internet.defer import Deferred

from homeserver.storage import sliding
from homeserver.sync.sliding.opening import SECONDS
from tests.world import Client, Home, Network, Reply, good, story

PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
# What Element X asks for.
STATE = [
    ["m.room.name", ""],
    ["m.room.encryption", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
    ["m.room.topic", ""],
    ["m.room.avatar", ""],
    ["m.room.canonical_alias", ""],
    ["m.room.power_levels", ""],
    ["org.matrix.msc3401.call.member", "*"],
    ["m.room.join_rules", ""],
    ["m.room.tombstone", ""],
    ["m.room.create", ""],
    ["m.room.history_visibility", ""],
    ["io.element.functional_members", ""],
    ["m.space.parent", "*"],
    ["m.space.child", "*"],
]


def window(first: int = 0, last: int = 19, limit: int = 1, state: Any = (), **filters: Any) -> dict[str, Any]:
    """A list."""
    return {"ranges": [[first, last]], "required_state": list(state), "timeline_limit": limit, "filters": filters}


async def ask(client: Client, pos: str | None = None, timeout: int = 0, **body: Any) -> Reply:
    query = {"timeout": timeout, **({"pos": pos} if pos else {})}
    return await client.post(PATH, body, **query)


async def slide(client: Client, pos: str | None = None, timeout: int = 0, **body: Any) -> Any:
    return good(await ask(client, pos, timeout, **body))


async def room(client: Client, *invited: Client, **wish: Any) -> str:
    wish = {"preset": "private_chat", "invite": [one.user_id for one in invited], **wish}
    made: str = good(await client.post("/createRoom", wish))["room_id"]
    for one in invited:
        good(await one.post(f"/rooms/{made}/join", {}))
    return made


def forget_everything(home: Home) -> None:
    """Nothing is in memory, as right after a start."""
    memory = home.server.database.memory
    budget, memory.budget = memory.budget, 1000
    memory.put("the last", None, 0)
    memory.budget = budget


_counter = iter(range(1_000_000))


async def say(client: Client, room_id: str, text: str = "hello") -> str:
    content = {"msgtype": "m.text", "body": text}
    sent: str = good(await client.put(f"/rooms/{room_id}/send/m.room.message/{next(_counter)}", content))["event_id"]
    return sent


async def sets(client: Client, room_id: str, kind: str, content: dict[str, Any], key: str = "") -> str:
    sent: str = good(await client.put(f"/rooms/{room_id}/state/{kind}/{key}", content))["event_id"]
    return sent


def keys(section: dict[str, Any]) -> set[tuple[str, str]]:
    return {(event["type"], event["state_key"]) for event in section.get("required_state", ())}


def ids(section: dict[str, Any]) -> list[str]:
    return [event["event_id"] for event in section.get("timeline", ())]


@story
async def test_a_room_is_told_whole_then_only_what_is_new(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea = await room(alice, bob, name="Tea")
    lists = {"all": window(limit=2, state=STATE)}

    first = await slide(bob, lists=lists)
    told = first["rooms"][tea]
    assert first["lists"] == {"all": {"count": 1}}
    assert told["initial"] is True and told["name"] == "Tea" and told["limited"] is True and told["membership"] == "join"
    assert (told["joined_count"], told["invited_count"], told["num_live"]) == (2, 0, 0)
    assert "heroes" not in told and "room_id" not in told["timeline"][0]
    assert {("m.room.create", ""), ("m.room.name", ""), ("m.room.member", bob.user_id)} <= keys(told)
    assert good(await bob.get(f"/rooms/{tea}/messages", dir="b", **{"from": told["prev_batch"]}))["chunk"]

    nothing = await slide(bob, first["pos"], lists=lists)
    assert nothing["rooms"] == {}

    said = await say(alice, tea)
    second = await slide(bob, nothing["pos"], lists=lists)
    told = second["rooms"][tea]
    assert ids(told) == [said] and told["num_live"] == 1 and told["limited"] is False
    assert "initial" not in told and "name" not in told and "joined_count" not in told
    assert keys(told) == {("m.room.member", alice.user_id)} - keys(first["rooms"][tea])

    await sets(alice, tea, "m.room.name", {"name": "Coffee"})
    third = await slide(bob, second["pos"], lists=lists)
    assert third["rooms"][tea]["name"] == "Coffee" and keys(third["rooms"][tea]) == {("m.room.name", "")}
    assert good(await bob.get(f"/rooms/{tea}/messages", dir="b", **{"from": third["pos"]}))["chunk"]


@story
async def test_a_lost_answer_loses_nothing_and_an_old_position_is_unknown(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    rooms = [await room(alice, bob) for _ in range(3)]
    lists = {"all": window(0, 0, limit=3, state=STATE)}
    first = await slide(bob, lists=lists)
    assert list(first["rooms"]) == [rooms[2]]

    await say(alice, rooms[0])
    lost = await slide(bob, first["pos"], lists=lists)
    again = await slide(bob, first["pos"], lists=lists)
    assert lost["rooms"].keys() == again["rooms"].keys() == {rooms[0]}
    assert ids(lost["rooms"][rooms[0]]) == ids(again["rooms"][rooms[0]]) and again["rooms"][rooms[0]]["initial"] is True
    # Either of the two may have arrived.
    assert (await slide(bob, lost["pos"], lists=lists))["rooms"] == {}
    assert (await slide(bob, again["pos"], lists=lists))["rooms"] == {}

    pos = again["pos"]
    for n in range(60):
        await say(alice, rooms[n % 3])
        pos = (await slide(bob, pos, lists=lists))["pos"]
    assert (await ask(bob, first["pos"], lists=lists)).json["errcode"] == "M_UNKNOWN_POS"
    rows = await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM sliding_states"))
    assert rows <= sliding.LONGEST_CHAIN + sliding.MOST_ANSWERS
    for wrong in ("nonsense", "s1", pos + "0", pos.replace("p1_", "p1_9.9-")):
        reply = await ask(bob, wrong, lists=lists)
        assert (reply.status, reply.json["errcode"]) == (400, "M_UNKNOWN_POS")


@story
async def test_a_connection_outlives_the_server_but_not_its_device(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob", "PHONE")
    tea = await room(alice, bob)
    lists = {"all": window(state=STATE)}
    first = await slide(bob, lists=lists)
    other = await slide(bob, conn_id="encryption")

    await network.passes(SECONDS)
    a = network.restart(a)
    forget_everything(a)
    alice, bob = Client(a, alice.user_id, alice.token, alice.device_id), Client(a, bob.user_id, bob.token, bob.device_id)
    said = await say(alice, tea)
    second = await slide(bob, first["pos"], lists=lists)
    assert ids(second["rooms"][tea]) == [said] and "initial" not in second["rooms"][tea]

    # A position is good for its device and its connection only.
    tablet = await a.user("bob", "TABLET")
    mine, others = second["pos"], other["pos"]
    for client, pos, name in ((tablet, mine, ""), (alice, mine, ""), (bob, mine, "encryption"), (bob, others, "")):
        assert (await ask(client, pos, conn_id=name)).json["errcode"] == "M_UNKNOWN_POS"

    await slide(bob, conn_id="late")
    good(await bob.post("/logout"))
    await network.passes(SECONDS)
    counted = await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM sliding_connections"))
    assert counted == 0


@story
async def test_a_connection_is_written_after_its_first_answer_and_before_its_second(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea = await room(alice, bob)
    lists = {"all": window(state=STATE)}

    def written() -> Any:
        return a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM sliding_connections"))

    first = await slide(bob, lists=lists)
    assert await written() == 0
    said = await say(alice, tea)
    # Who comes back at once is known, also to a process that has forgotten.
    forget_everything(a)
    second = await slide(bob, first["pos"], lists=lists)
    assert ids(second["rooms"][tea]) == [said] and await written() == 1

    # The next one of this name takes its place, whether it was written or not.
    for _ in range(3):
        third = await slide(bob, lists=lists)
    assert (await ask(bob, second["pos"], lists=lists)).json["errcode"] == "M_UNKNOWN_POS"
    assert (await slide(bob, third["pos"], lists=lists))["rooms"] == {} and await written() == 1

    # What was not written yet when the process died is not known: the client begins anew.
    await slide(bob, conn_id="other")
    fourth = await slide(bob, lists=lists)
    a = network.restart(a)
    bob = Client(a, bob.user_id, bob.token, bob.device_id)
    forget_everything(a)
    assert (await ask(bob, fourth["pos"], lists=lists)).json["errcode"] == "M_UNKNOWN_POS"
    assert tea in (await slide(bob, lists=lists))["rooms"]


@story
async def test_rooms_out_of_the_window_catch_up_when_they_come_back(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea, cake = await room(alice, bob), await room(alice, bob)
    lists = {"top": window(0, 0, limit=3, state=[["m.room.topic", ""]])}
    first = await slide(bob, lists=lists)
    assert list(first["rooms"]) == [cake]

    early = [await say(alice, cake) for _ in range(2)]
    await sets(alice, cake, "m.room.topic", {"topic": "Cake"})
    said = await say(alice, tea)
    second = await slide(bob, first["pos"], lists=lists)
    assert list(second["rooms"]) == [tea] and ids(second["rooms"][tea])[-1] == said

    late = await say(alice, cake)
    third = await slide(bob, second["pos"], lists=lists)
    told = third["rooms"][cake]
    assert "initial" not in told and told["limited"] is True and ids(told)[-1] == late and len(ids(told)) == 3
    assert early[0] not in ids(told) and keys(told) == {("m.room.topic", "")}

    # Another connection of the same device knows nothing of it.
    assert (await slide(bob, conn_id="other", lists=lists))["rooms"][cake]["initial"] is True


@story
async def test_more_events_and_more_state_are_told_at_once_when_they_are_asked_for(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea = await room(alice, bob, topic="Leaves")
    said = [await say(alice, tea, str(n)) for n in range(6)]
    lists = {"all": window(limit=1)}
    first = await slide(bob, lists=lists)
    assert ids(first["rooms"][tea]) == said[-1:] and first["rooms"][tea]["required_state"] == []

    open_room = {tea: {"required_state": [["m.room.topic", ""], ["m.room.create", ""]], "timeline_limit": 4}}
    second = await slide(bob, first["pos"], timeout=30_000, lists=lists, room_subscriptions=open_room)
    told = second["rooms"][tea]
    assert ids(told) == said[-4:] and told["expanded_timeline"] is told["unstable_expanded_timeline"] is True and told["num_live"] == 0
    assert keys(told) == {("m.room.topic", ""), ("m.room.create", "")} and "initial" not in told

    # Closed and opened again: the client has the events still; its state was not followed meanwhile.
    third = await slide(bob, second["pos"], lists=lists)
    assert third["rooms"] == {}
    await sets(alice, tea, "m.room.topic", {"topic": "Water"})
    fourth = await slide(bob, third["pos"], lists=lists)
    assert "required_state" not in fourth["rooms"][tea]
    fifth = await slide(bob, fourth["pos"], lists=lists, room_subscriptions=open_room)
    told = fifth["rooms"][tea]
    assert ids(told) == [] and "expanded_timeline" not in told
    assert [event["content"] for event in told["required_state"] if event["type"] == "m.room.topic"] == [{"topic": "Water"}]


@story
async def test_members_are_told_when_they_matter_and_once(network: Network) -> None:
    a = network.server("a")
    alice, bob, carol = await a.user("alice"), await a.user("bob"), await a.user("carol")
    tea = await room(alice, bob, carol)
    await say(carol, tea)
    lists = {"all": window(limit=1, state=[["m.room.member", "$LAZY"], ["m.room.member", "$ME"]])}
    first = await slide(bob, lists=lists)
    assert keys(first["rooms"][tea]) == {("m.room.member", bob.user_id), ("m.room.member", carol.user_id)}
    await say(carol, tea)
    second = await slide(bob, first["pos"], lists=lists)
    assert keys(second["rooms"][tea]) == set()
    await say(alice, tea)
    third = await slide(bob, second["pos"], lists=lists)
    assert keys(third["rooms"][tea]) == {("m.room.member", alice.user_id)}
    # A new name, missed in a gap, goes with the next word.
    good(await carol.put(f"/profile/{carol.user_id}/displayname", {"displayname": "Caroline"}))
    await network.passes(1)
    for _ in range(3):
        await say(alice, tea)
    fourth = await slide(bob, third["pos"], lists=lists)
    assert fourth["rooms"][tea]["limited"] is True and keys(fourth["rooms"][tea]) == set()
    await say(carol, tea)
    fifth = await slide(bob, fourth["pos"], lists=lists)
    assert [event["content"]["displayname"] for event in fifth["rooms"][tea]["required_state"]] == ["Caroline"]


@story
async def test_everything_and_everything_but_members(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea = await room(alice, bob)
    whole = {(event["type"], event["state_key"]) for event in good(await bob.get(f"/rooms/{tea}/state"))}

    async def asked(*state: tuple[str, str]) -> set[tuple[str, str]]:
        return keys((await slide(bob, lists={"all": window(limit=1, state=state)}))["rooms"][tea])

    assert await asked(("*", "*")) == whole
    assert await asked(("*", "*"), ("m.room.member", "$LAZY")) == whole - {("m.room.member", alice.user_id)}
    assert await asked(("*", "*"), ("m.room.member", "$LAZY"), ("m.room.member", alice.user_id)) == whole
    assert await asked(("m.room.member", "*")) == {key for key in whole if key[0] == "m.room.member"}
    assert await asked(("*", alice.user_id)) == {("m.room.member", alice.user_id)}
    assert await asked() == set()


@story
async def test_rooms_without_a_name_are_called_after_their_members(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    good(await alice.put(f"/profile/{alice.user_id}/displayname", {"displayname": "Alice"}))
    good(await alice.put(f"/profile/{alice.user_id}/avatar_url", {"avatar_url": "mxc://a/face"}))
    chat = await room(alice, bob)
    lists = {"all": window()}
    first = await slide(bob, lists=lists)
    assert first["rooms"][chat]["heroes"] == [{"user_id": alice.user_id, "displayname": "Alice", "avatar_url": "mxc://a/face"}]
    assert "name" not in first["rooms"][chat]
    await sets(alice, chat, "m.room.name", {"name": "Us"})
    await sets(alice, chat, "m.room.avatar", {"url": "mxc://a/us"})
    second = await slide(bob, first["pos"], lists=lists)
    told = second["rooms"][chat]
    assert (told["name"], told["avatar"]) == ("Us", "mxc://a/us") and "heroes" not in told
    await sets(alice, chat, "m.room.name", {})
    third = await slide(bob, second["pos"], lists=lists)
    assert third["rooms"][chat]["name"] is None and len(third["rooms"][chat]["heroes"]) == 1
    # A room becomes a direct chat, and is one no more, without any event.
    good(await bob.put(f"/user/{bob.user_id}/account_data/m.direct", {alice.user_id: [chat]}))
    fourth = await slide(bob, third["pos"], lists=lists)
    assert fourth["rooms"][chat]["is_dm"] is True
    good(await bob.put(f"/user/{bob.user_id}/account_data/m.direct", {}))
    assert (await slide(bob, fourth["pos"], lists=lists))["rooms"][chat]["is_dm"] is False


@story
async def test_filters(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    plain = await room(alice, bob, name="Plain Talk")
    secret = await room(alice, bob, initial_state=[{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}])
    space = await room(alice, bob, creation_content={"type": "m.space"})
    await sets(alice, space, "m.space.child", {"via": ["a"]}, secret)
    invite = good(await alice.post("/createRoom", {"invite": [bob.user_id], "is_direct": True, "name": "Come"}))["room_id"]
    good(await bob.put(f"/user/{bob.user_id}/account_data/m.direct", {alice.user_id: [plain]}))
    good(await bob.put(f"/user/{bob.user_id}/rooms/{secret}/tags/m.favourite", {}))
    everything = {plain, secret, space, invite}

    async def listed(**filters: Any) -> set[str]:
        found = await slide(bob, lists={"one": window(**filters)})
        assert found["lists"]["one"]["count"] == len(found["rooms"])
        return set(found["rooms"])

    for _ in range(2):
        assert await listed() == everything
        assert (await listed(is_dm=True), await listed(is_dm=False)) == ({plain}, everything - {plain})
        assert (await listed(is_encrypted=True), await listed(is_encrypted=False)) == ({secret}, everything - {secret})
        assert (await listed(is_invite=True), await listed(is_invite=False)) == ({invite}, everything - {invite})
        assert (await listed(room_types=["m.space"]), await listed(not_room_types=["m.space"])) == ({space}, everything - {space})
        assert await listed(room_types=[None]) == everything - {space}
        assert await listed(room_types=["m.space", None], not_room_types=[None]) == {space}
        assert (await listed(tags=["m.favourite"]), await listed(not_tags=["m.favourite"])) == ({secret}, everything - {secret})
        assert await listed(spaces=[space]) == {secret}
        assert await listed(spaces=["!elsewhere:a"]) == set()
        assert await listed(room_name_like="plain t") == {plain}
        assert await listed(is_dm=False, is_encrypted=True) == {secret}


@story
async def test_invites_and_knocks_are_told_as_they_were_shown(network: Network) -> None:
    a = network.server("a")
    alice, bob, carol = await a.user("alice"), await a.user("bob"), await a.user("carol")
    lists = {"all": window(limit=10, state=[["*", "*"]])}
    first = await slide(bob, lists=lists)
    chat = good(await alice.post("/createRoom", {"preset": "private_chat", "name": "Come", "invite": [bob.user_id]}))["room_id"]
    second = await slide(bob, first["pos"], timeout=1000, lists=lists)
    told = second["rooms"][chat]
    assert told["membership"] == "invite" and told["initial"] is True and told["name"] == "Come"
    assert {event["type"] for event in told["invite_state"]} >= {"m.room.create", "m.room.member", "m.room.name"}
    assert "timeline" not in told and "required_state" not in told

    # What happens inside is not theirs to know.
    await say(alice, chat)
    third = await slide(bob, second["pos"], lists=lists)
    assert third["rooms"] == {}
    good(await bob.post(f"/rooms/{chat}/join", {}))
    fourth = await slide(bob, third["pos"], lists=lists)
    told = fourth["rooms"][chat]
    assert told["initial"] is True and told["membership"] == "join" and told["num_live"] > 0

    rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    door = good(await alice.post("/createRoom", {"initial_state": [rules]}))["room_id"]
    good(await bob.post(f"/knock/{door}", {}))
    fifth = await slide(bob, fourth["pos"], lists=lists)
    assert fifth["rooms"][door]["membership"] == "knock" and fifth["rooms"][door]["stripped_state"]

    good(await bob.put(f"/user/{bob.user_id}/account_data/m.ignored_user_list", {"ignored_users": {carol.user_id: {}}}))
    good(await carol.post("/createRoom", {"invite": [bob.user_id]}))
    assert (await slide(bob, fifth["pos"], lists=lists))["rooms"] == {}


@story
async def test_who_leaves_hears_of_it_once_and_of_nothing_after_it(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea, cake = await room(alice, bob, name="Tea"), await room(alice, bob, name="Cake")
    lists = {"all": window(limit=3, state=[["m.room.topic", ""]])}
    first = await slide(bob, lists=lists)
    good(await bob.post(f"/rooms/{tea}/leave", {}))
    good(await alice.post(f"/rooms/{cake}/kick", {"user_id": bob.user_id}))
    for one in (tea, cake):
        await sets(alice, one, "m.room.topic", {"topic": "secret"})
        await say(alice, one, "secret")
    second = await slide(bob, first["pos"], lists=lists)
    assert {told["membership"] for told in second["rooms"].values()} == {"leave"}
    assert "secret" not in str(second) and all(len(told["timeline"]) == 1 for told in second["rooms"].values())
    third = await slide(bob, second["pos"], lists=lists)
    assert third["rooms"] == {} and third["lists"]["all"]["count"] == 1  # being thrown out stays on the list

    # A new connection hears of the kick, and of what was left by choice only if it asks.
    assert list((await slide(bob, conn_id="new", lists=lists))["rooms"]) == [cake]
    asked = await slide(bob, conn_id="new", room_subscriptions={tea: {"required_state": [["m.room.create", ""]], "timeline_limit": 20}})
    assert asked["rooms"][tea]["name"] == "Tea" and "secret" not in str(asked) and keys(asked["rooms"][tea]) == {("m.room.create", "")}
    assert asked["rooms"][tea]["timeline"][-1]["content"]["membership"] == "leave"

    good(await alice.post(f"/rooms/{tea}/invite", {"user_id": bob.user_id}))
    good(await bob.post(f"/rooms/{tea}/join", {}))
    back = await slide(bob, third["pos"], lists=lists)
    assert back["rooms"][tea]["initial"] is True and keys(back["rooms"][tea]) == {("m.room.topic", "")}


@story
async def test_a_hidden_room_cannot_be_subscribed_to(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    hidden, public = await room(alice), await room(alice, preset="public_chat")
    wish = {"required_state": [["*", "*"]], "timeline_limit": 10}
    found = await slide(bob, room_subscriptions={hidden: wish, public: wish, "!never:was": wish})
    assert found["rooms"] == {} and hidden not in str(found)
    # Nor can somebody put a room into the list of who never was there.
    good(await alice.post(f"/rooms/{public}/ban", {"user_id": bob.user_id}))
    assert (await slide(bob, lists={"all": window()}))["lists"]["all"]["count"] == 0


@story
async def test_what_was_hidden_before_the_join_stays_hidden(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    visibility = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    tea = await room(alice, preset="public_chat", initial_state=[visibility])
    await say(alice, tea, "before")
    good(await bob.post(f"/rooms/{tea}/join", {}))
    said = await say(alice, tea, "after")
    found = await slide(bob, lists={"all": window(limit=20)})
    assert ids(found["rooms"][tea])[-1] == said and "before" not in str(found)
    assert [event["unsigned"]["membership"] for event in found["rooms"][tea]["timeline"][-2:]] == ["join", "join"]


@story
async def test_the_order_of_the_list_and_bump_stamps(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    one, two, three = [await room(alice, bob) for _ in range(3)]
    await say(alice, two)
    found = await slide(bob, lists={"all": window()})
    stamps = {name: told["bump_stamp"] for name, told in found["rooms"].items()}
    assert sorted(stamps, key=stamps.__getitem__) == [one, three, two]
    assert all(0 < stamp < 2**53 for stamp in stamps.values())
    # Whatever happens brings a room into the window, but only what people want to see bumps it.
    await sets(alice, one, "m.room.topic", {"topic": "x"})
    top = await slide(bob, lists={"all": window(0, 0)})
    assert list(top["rooms"]) == [one] and top["rooms"][one]["bump_stamp"] == stamps[one]
    parts = await slide(bob, lists={"parts": {"ranges": [[0, 0], [2, 7]], "required_state": [], "timeline_limit": 0}})
    assert set(parts["rooms"]) == {one, three} and "timeline" not in parts["rooms"][one]
    assert set((await slide(bob, lists={"all": {"required_state": [], "timeline_limit": 0}}))["rooms"]) == {one, two, three}


@story
async def test_waiting_ends_with_news(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    tea = await room(alice, bob)
    lists, extensions = {"all": window(state=STATE)}, {key: {"enabled": True} for key in ("e2ee", "to_device", "receipts", "typing")}
    first = await slide(bob, lists=lists, extensions=extensions)
    began = network.reactor.seconds()
    quiet = await slide(bob, first["pos"], timeout=10_000, lists=lists, extensions=extensions)
    assert quiet["rooms"] == {} and network.reactor.seconds() - began >= 10
    # Something is said after five seconds.
    began, calls = network.reactor.seconds(), []
    network.reactor.callLater(5, lambda: calls.append(Deferred.fromCoroutine(say(alice, tea))))
    news = await slide(bob, quiet["pos"], timeout=30_000, lists=lists, extensions=extensions)
    assert news["rooms"][tea]["num_live"] == 1 and network.reactor.seconds() - began == 5
    # A new room is heard of, too, and what then happens in it.
    network.reactor.callLater(5, lambda: calls.append(Deferred.fromCoroutine(alice.post("/createRoom", {"invite": [bob.user_id]}))))
    invited = await slide(bob, news["pos"], timeout=30_000, lists=lists, extensions=extensions)
    assert [told["membership"] for told in invited["rooms"].values()] == ["invite"] and network.reactor.seconds() - began == 10


@story
async def test_no_more_than_anybody_may_ask_for(network: Network) -> None:
    a = network.server("a")
    bob = await a.user("bob")
    for body in (
        {"lists": {str(n): window() for n in range(101)}},
        {"room_subscriptions": {f"!{n}:a": {"required_state": [], "timeline_limit": 1} for n in range(101)}},
        {"lists": {"all": window(limit=-1)}},
        {"lists": {"all": window(5, 4)}},
        {"lists": {"all": window(state=[[str(n), ""] for n in range(201)])}},
        {"conn_id": "x" * 256},
        {"extensions": {"to_device": {"enabled": True, "since": "yesterday"}}},
    ):
        reply = await ask(bob, **body)
        assert (reply.status, reply.json["errcode"]) == (400, "M_INVALID_PARAM"), body
    assert (await ask(bob, lists={"all": {"ranges": "x"}})).json["errcode"] == "M_BAD_JSON"
    assert (await slide(bob, lists={"all": window(0, 2**40)}, txn_id="7", extensions={"unknown": {"enabled": True}}))["txn_id"] == "7"
    for n in range(30):
        await slide(bob, conn_id=str(n))
        await network.passes(n % 5 * 0.3)
    await network.passes(SECONDS)
    assert await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM sliding_connections")) == 20


@story
async def test_rooms_of_other_servers(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    lists = {"all": window(limit=2, state=STATE, is_encrypted=True)}
    first = await slide(bob, lists=lists)
    tea = good(await alice.post("/createRoom", {"name": "Tea", "invite": [bob.user_id], "initial_state": [encryption]}))["room_id"]
    second = await slide(bob, first["pos"], 10_000, lists=lists)
    told = second["rooms"][tea]
    assert told["membership"] == "invite" and told["name"] == "Tea" and told["bump_stamp"] > 0

    good(await bob.post(f"/join/{tea}", {}, via=["a"]))
    third = await slide(bob, second["pos"], lists=lists)
    told = third["rooms"][tea]
    assert told["initial"] is True and told["joined_count"] == 2 and ("m.room.encryption", "") in keys(told)
    said = await say(alice, tea)
    fourth = await slide(bob, third["pos"], 10_000, lists=lists)
    assert ids(fourth["rooms"][tea]) == [said] and fourth["rooms"][tea]["bump_stamp"] > told["bump_stamp"]

    # What is missing is not bridged.
    network.down.add("b")
    missed = [await say(alice, tea) for _ in range(15)]
    network.down.clear()
    late = await say(alice, tea)
    pos, seen = fourth["pos"], list[str]()
    for _ in range(20):
        found = await slide(bob, pos, 30_000, lists=lists)
        pos = found["pos"]
        for told in found["rooms"].values():
            seen = ids(told) if told["limited"] else seen + ids(told)
        if late in seen:
            break
    assert seen == [*missed, late][-len(seen) :]

    good(await bob.post(f"/rooms/{tea}/leave", {}))
    last = await slide(bob, pos, lists=lists)
    assert last["rooms"][tea]["membership"] == "leave" and last["rooms"][tea]["timeline"][-1]["sender"] == bob.user_id
