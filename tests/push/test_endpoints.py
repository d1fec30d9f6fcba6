"""Push rules, pushers and notifications as clients meet them."""

from typing import Any

from homeserver.push import defaults
from tests.world import Client, Network, good, story

GATEWAY = "https://push.example/_matrix/push/v1/notify"


def pusher(**changes: Any) -> dict[str, Any]:
    """What a client sends."""
    return {
        "kind": "http", "app_id": "app", "pushkey": "key", "app_display_name": "App", "device_display_name": "Phone", "lang": "en",
        "data": {"url": GATEWAY}, **changes,
    }  # fmt: skip


async def rule(client: Client, path: str) -> Any:
    return good(await client.get(f"/pushrules/global/{path}"))


@story
async def test_a_rule_is_made_changed_and_removed(network: Network) -> None:
    alice = await network.server("a").user("alice")
    good(await alice.put("/pushrules/global/sender/@spam:a", {"actions": ["dont_notify"]}))
    assert (await rule(alice, "sender/@spam:a"))["actions"] == ["dont_notify"]
    good(await alice.put("/pushrules/global/sender/@spam:a/actions", {"actions": ["notify"]}))
    good(await alice.put("/pushrules/global/sender/@spam:a/enabled", {"enabled": False}))
    assert await rule(alice, "sender/@spam:a/enabled") == {"enabled": False}
    assert await rule(alice, "sender/@spam:a/actions") == {"actions": ["notify"]}
    assert good(await alice.get("/pushrules/"))["global"]["sender"][0]["rule_id"] == "@spam:a"
    assert "override" in good(await alice.get("/pushrules/global/"))
    good(await alice.delete("/pushrules/global/sender/@spam:a"))
    assert (await alice.get("/pushrules/global/sender/@spam:a")).status == 404
    assert (await alice.delete("/pushrules/global/sender/@spam:a")).json["errcode"] == "M_NOT_FOUND"


@story
async def test_changed_rules_come_with_the_next_sync(network: Network) -> None:
    alice = await network.server("a").user("alice")

    async def next_rules(since: str | None) -> tuple[Any, str]:
        news = good(await alice.get("/sync", timeout=0, **({"since": since} if since else {})))
        found = [event["content"]["global"] for event in news.get("account_data", {}).get("events", []) if event["type"] == "m.push_rules"]
        return (found[0] if found else None), news["next_batch"]

    rules, since = await next_rules(None)
    assert rules["content"][0]["pattern"] == "alice"
    rules, since = await next_rules(since)
    assert rules is None
    for path, body in [("", {"actions": []}), ("/enabled", {"enabled": False}), ("/actions", {"actions": ["notify"]})]:
        good(await alice.put(f"/pushrules/global/room/!r:a{path}", body))
        rules, since = await next_rules(since)
        assert rules["room"][0]["rule_id"] == "!r:a"


@story
async def test_rules_that_are_refused(network: Network) -> None:
    alice = await network.server("a").user("alice")
    for path, body, status in [
        ("override/.mine", {"actions": []}, 400),
        ("override/a%2Fb", {"actions": []}, 400),
        ("postcontent/x", {"actions": []}, 404),
        ("content/x", {"actions": []}, 400),
        ("override/x", {}, 400),
        ("override/x", {"actions": "notify"}, 400),
        ("override/x", {"actions": [], "conditions": [5]}, 400),
        ("override/x?before=nobody", {"actions": []}, 400),
        (f"underride/{defaults.MESSAGE}/enabled", {"enabled": "yes"}, 400),
        ("underride/nothing/enabled", {"enabled": True}, 404),
    ]:
        assert (await alice.put(f"/pushrules/global/{path}", body)).status == status, path


@story
async def test_pushers_are_set_shown_and_removed(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    good(await alice.post("/pushers/set", pusher()))
    good(await alice.post("/pushers/set", pusher(lang="de", profile_tag="x")))
    [shown] = good(await alice.get("/pushers"))["pushers"]
    assert (shown["lang"], shown["profile_tag"], shown["data"]) == ("de", "x", {"url": GATEWAY})
    good(await bob.post("/pushers/set", pusher(append=True)))
    assert good(await alice.get("/pushers"))["pushers"]
    good(await bob.post("/pushers/set", pusher()))
    assert good(await alice.get("/pushers"))["pushers"] == []
    good(await bob.post("/pushers/set", {"kind": None, "app_id": "app", "pushkey": "key"}))
    assert good(await bob.get("/pushers"))["pushers"] == []


@story
async def test_pushers_that_are_refused(network: Network) -> None:
    alice = await network.server("a").user("alice")
    assert (await alice.post("/pushers/set", {"kind": "http", "app_id": "a", "pushkey": "k"})).json["errcode"] == "M_MISSING_PARAM"
    for changes in [
        {"data": {}}, {"data": {"url": "https://push.example/other"}}, {"data": {"url": "ftp://x/_matrix/push/v1/notify"}},
        {"data": {"url": "https://[::1/_matrix/push/v1/notify"}}, {"data": 5}, {"pushkey": "x" * 513}, {"app_id": "x" * 65}, {"app_id": 5},
        {"kind": "pigeon"}, {"kind": "email"}, {"kind": 5}, {"lang": None}, {"profile_tag": 5}, {"pushkey": ""},
        {"data": {"url": GATEWAY, "more": "x" * 9000}},
    ]:  # fmt: skip
        assert (await alice.post("/pushers/set", pusher(**changes))).status == 400, changes


@story
async def test_a_pusher_goes_with_its_session(network: Network) -> None:
    a = network.server("a")
    phone, desk = await a.user("alice", "PHONE"), await a.user("alice", "DESK")
    good(await phone.post("/pushers/set", pusher()))
    good(await desk.post("/pushers/set", pusher(pushkey="desk")))
    good(await phone.post("/logout"))
    assert [one["pushkey"] for one in good(await desk.get("/pushers"))["pushers"]] == ["desk"]


async def room_of(alice: Client, *others: Client) -> str:
    room: str = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for other in others:
        good(await other.post(f"/join/{room}"))
    return room


async def say(client: Client, room: str, text: str, number: int, **more: Any) -> str:
    content = {"msgtype": "m.text", "body": text, **more}
    event: str = good(await client.put(f"/rooms/{room}/send/m.room.message/{number}", content))["event_id"]
    return event


@story
async def test_notifications_are_listed_newest_first_in_pages(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    said = [await say(alice, room, "hello bob" if number % 2 else "hello", number) for number in range(5)]
    good(await bob.post(f"/rooms/{room}/receipt/m.read/{said[1]}", {}))
    first = good(await bob.get("/notifications", limit=3))
    second = good(await bob.get("/notifications", **{"from": first["next_token"]}))
    shown = first["notifications"] + second["notifications"]
    assert [one["event"]["event_id"] for one in shown] == said[::-1]
    assert [one["read"] for one in shown] == [False, False, False, True, True]
    assert "room_id" not in shown[0]["event"] and shown[0]["room_id"] == room
    highlights = good(await bob.get("/notifications", only="highlight"))["notifications"]
    assert [one["event"]["event_id"] for one in highlights] == [said[3], said[1]]
    assert good(await alice.get("/notifications"))["notifications"] == []
    assert (await bob.get("/notifications", **{"from": "x"})).status == 400


@story
async def test_counts_come_with_sync(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    since = good(await bob.get("/sync"))["next_batch"]
    event = await say(alice, room, "hello bob", 1)
    news = good(await bob.get("/sync", since=since))
    assert news["rooms"]["join"][room]["unread_notifications"] == {"notification_count": 1, "highlight_count": 1}
    good(await bob.post(f"/rooms/{room}/receipt/m.read.private/{event}", {}))
    news = good(await bob.get("/sync", since=news["next_batch"]))
    assert news["rooms"]["join"][room]["unread_notifications"] == {"notification_count": 0, "highlight_count": 0}
    quiet = good(await bob.get("/sync", since=news["next_batch"], timeout=0))
    assert "rooms" not in quiet or not quiet["rooms"].get("join")


@story
async def test_threads_are_counted_apart_where_the_filter_asks(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    since = good(await bob.get("/sync"))["next_batch"]
    root = await say(alice, room, "Hello world!", 1)
    reply = await say(alice, room, f"Thread response {bob.user_id}!", 2, **{"m.relates_to": {"event_id": root, "rel_type": "m.thread"}})

    async def counts(**query: Any) -> Any:
        shown = good(await bob.get("/sync", since=since, **query))["rooms"]["join"][room]
        return shown["unread_notifications"], shown.get("unread_thread_notifications")

    apart = {"filter": '{"room":{"timeline":{"unread_thread_notifications":true}}}'}
    assert await counts() == ({"notification_count": 2, "highlight_count": 1}, None)
    one_each = {"notification_count": 1, "highlight_count": 0}
    assert await counts(**apart) == (one_each, {root: {"notification_count": 1, "highlight_count": 1}})
    good(await bob.post(f"/rooms/{room}/receipt/m.read/{reply}", {"thread_id": root}))
    main, threads = await counts(**apart)
    assert main == one_each and not threads
    assert (await bob.post(f"/rooms/{room}/receipt/m.read/{reply}", {"thread_id": "main"})).json["errcode"] == "M_INVALID_PARAM"
    assert (await bob.post(f"/rooms/{room}/receipt/m.read/{reply}", {"thread_id": ""})).status == 400
    good(await bob.post(f"/rooms/{room}/read_markers", {"m.fully_read": reply, "m.read": reply}))
    assert await counts() == ({"notification_count": 0, "highlight_count": 0}, None)
