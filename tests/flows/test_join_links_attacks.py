"""What people and servers try with join links who mean no good, or whose time is over.  docs/flows/join_links.md"""

import re
from html.parser import HTMLParser
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import formatEvent, globalLogPublisher

from homeserver.api.client import link_pages
from homeserver.api.client.link_pages import Said
from homeserver.events import canonical
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.vendor import CLIENT, FEDERATION
from homeserver.federation.authentication import authorization
from homeserver.membership.links import making, redeeming
from homeserver.membership.links.custody import Custody
from homeserver.membership.links.landing import Landing
from homeserver.membership.links.upkeep import Upkeep
from homeserver.settings import Keys, RateLimits, Registration
from homeserver.web.types import Request, Response
from tests.appservices.rig import bridged
from tests.flows.asking import About, Asker, endpoints, statements
from tests.flows.joining import before, membership
from tests.flows.keys import ROOM_KEY, device
from tests.flows.test_join_links import GEK, follow, is_in, link, private_room, shown
from tests.world import FOLDER, Home, Network, good, story

NO_LINK = {"errcode": "M_NOT_FOUND", "error": "No such link"}


async def asks_on_page(home: Home, token: str, user: str, ip: str = "10.0.0.9") -> tuple[int, str]:
    """What the page says to who enters a Matrix ID."""
    body = f"user_id={quote(user, safe='')}".encode()
    answer = await home.respond(Request("POST", f"/join/{token}", "", {}, body, ip))
    return answer.status, bytes(answer.body).decode()


# --- guessing ---------------------------------------------------------------------------------------------------------


@story
async def test_a_wrong_guess_costs_one_look_into_an_index_whatever_links_there_are(network: Network) -> None:
    a = network.server("a")
    bob = await device(a, "bob", "B")
    with statements() as seen:
        answer = await follow(bob, {"server": "a", "token": "x" * 32})
    assert answer.json == NO_LINK
    about = [sql for sql in seen if "join_links" in sql]
    assert len(about) == 1 and about[0].endswith("WHERE token_hash = :hash")


@story
async def test_guessing_is_slowed_down_for_users_addresses_and_servers(network: Network) -> None:
    a, b = network.server("a", rate_limits=RateLimits()), network.server("b", rate_limits=RateLimits(enabled=False))
    bob, carol = await device(a, "bob", "B"), await device(b, "carol", "C")
    told = [(await follow(bob, {"server": "a", "token": f"{number:032}"})).status for number in range(30)]
    assert told == [404] * 20 + [429] * 10
    pages = [(await shown(a, f"{number:032}")).status for number in range(60)]
    assert pages == [404] * 50 + [429] * 10
    forms = [(await asks_on_page(a, f"{number:032}", "@x:b"))[0] for number in range(8)]
    assert forms == [404] * 5 + [429] * 3
    others = [(await follow(carol, {"server": "a", "token": f"{number:032}"})).status for number in range(520)]
    assert set(others[:500]) == {404} and 429 in others[500:]


@story
async def test_the_walk_through_all_endpoints_gets_past_the_shape_of_those_of_links_and_room_keys(network: Network) -> None:
    a = network.server("a")
    asker, hidden = Asker(network, await a.user("eve"), a), About(await private_room(await device(a, "alice", "A")), "$e", "#a")
    walked = [one for one in endpoints(a) if re.search("{room_id}/(links|link_requests|key_requests)", one.route.path)]
    walked = [one for one in walked if not one.route.options.admin]
    assert len(walked) >= 8 and not [one for one in walked if one.origin]
    for one in walked:
        assert (await asker.ask(one, hidden, [])).status == 404, f"{one.route.method} {one.route.path}: not refused for the room's sake"


# --- uses -------------------------------------------------------------------------------------------------------------


@story
async def test_of_many_who_come_at_once_as_many_get_in_as_may(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice = await device(a, "alice", "A")
    people = [await device((a, b)[number % 2], f"user{number}", "D") for number in range(8)]
    room = await private_room(alice)
    made = await link(alice, room, uses=1)
    told = await gatherResults([Deferred.fromCoroutine(follow(one, made)) for one in people])
    assert sorted(one.status for one in told) == [200] + [404] * 7
    assert sum([await is_in(one, room) for one in people]) == 1


@story
async def test_a_bad_device_key_uses_nothing_up(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice = await device(a, "alice", "A")
    room = await private_room(alice)
    made = await link(alice, room, key_custody=True, key=GEK, uses=1)
    for bad in ("", "x", "A" * 43 + "!", "é"):
        body = {"token": made["token"], "user_id": "@bob:b", "device_id": "D", "public_key": bad}
        assert (await signed(b, "/follow_link", body)).status == 400, bad
    assert good(await alice.client.get(f"{CLIENT}/rooms/{room}/links"))["links"][0]["uses_left"] == 1
    assert good(await follow(await device(b, "bob", "B"), made))["status"] == "joined"


# --- servers that lie ---------------------------------------------------------------------------------------------------


async def signed(home: Home, path: str, body: Any) -> Response:
    """The answer of `a` to a request that another server signs."""
    path = FEDERATION + path
    raw = canonical.encode(body)
    head = {"authorization": authorization(home.server.identity, ServerName("a"), "POST", path, raw)}
    return await home.network.servers["a"].respond(Request("POST", path, "", head, raw, "10.0.0.2"))


@story
async def test_no_server_follows_or_decides_in_the_name_of_another_ones_user(network: Network) -> None:
    a, b, _ = network.server("a"), network.server("b"), network.server("c")
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, approval=True)
    for victim in ("@alice:a", "@carol:c"):
        body = {"token": made["token"], "user_id": victim, "device_id": "D", "public_key": ""}
        assert (await signed(b, "/follow_link", body)).status == 403
    assert (await signed(b, "/follow_link", {**body, "user_id": "@bob:b", "device_id": ""})).status == 403, "no device"
    request_id = good(await follow(bob, made))["request_id"]
    assert (await signed(b, f"/decide_link/{request_id}", {"user_id": "@alice:a", "approve": True})).status == 403
    assert (await signed(b, f"/decide_link/{request_id}", {"user_id": "@bob:b", "approve": True})).status in (403, 404)
    assert not await is_in(bob, room)


@pytest.mark.parametrize(
    "lie",
    [
        {"via": [1]},
        {"via": ["b"] * 100_000},
        {"status": "joined"},
        {"room_id": "!x\0:b"},
        {"room_id": 1},
        {"request_id": "x" * 10_000},
        {"key": {"algorithm": ["x"]}},
        {"key": {"algorithm": "sealed_box", "ciphertext": "x" * 1_000_000}},
        [],
        None,
        "x" * 40_000_000,
    ],
    ids=["via", "many via", "status", "nul", "number", "long id", "key", "giant key", "list", "null", "giant"],
)
@story
async def test_nonsense_of_a_links_server_is_an_error_that_names_it(network: Network, lie: Any) -> None:
    a, b = network.server("a"), network.server("b")
    bob = await device(a, "bob", "B")
    truth = {"room_id": "!nowhere:b", "request_id": "r", "status": "waiting", "via": []}
    told = orjson.dumps({**truth, **lie} if isinstance(lie, dict) else lie)
    before(network, b, lambda request: Response(200, {}, told) if "follow_link" in request.path else None)
    answer = await follow(bob, {"server": "b", "token": "x"})
    if lie == {"via": ["b"] * 100_000}:
        assert answer.status == 200, "so many are not looked at"
        return
    assert answer.status == 502 and "b" in answer.json["error"] and len(answer.raw) < 1000
    hopes = await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM link_hopes"))
    assert hopes == 0


@story
async def test_a_link_cannot_bring_another_key_for_a_room_that_its_server_is_not_in(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    room = await private_room(alice)
    good(await follow(bob, await link(alice, room)))
    key = {"algorithm": "sealed_box", "ciphertext": "a key of the attacker"}
    told = orjson.dumps({"room_id": room, "request_id": "r", "status": "open", "via": ["a", "b"], "key": key})
    before(network, b, lambda request: Response(200, {}, told) if "follow_link" in request.path else None)
    answer = await follow(bob, {"server": "b", "token": "x"})
    assert answer.status == 502 and "attacker" not in str(answer.json) and await is_in(bob, room)
    eve = await device(a, "eve", "E")
    answer = await follow(eve, {"server": "b", "token": "x"})
    assert answer.status >= 400 and "attacker" not in str(answer.json) and not await is_in(eve, room), "and lets nobody in"


@story
async def test_a_links_server_that_is_down_is_named_and_later_the_link_works(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room)
    network.down.add("a")
    answer = await follow(bob, made)
    assert answer.status == 502 and "a could not be asked" in answer.json["error"]
    network.down.clear()
    assert good(await follow(bob, made))["status"] == "joined"


# --- custody ------------------------------------------------------------------------------------------------------------


def upkeep(home: Home) -> Upkeep:
    server = home.server
    return Upkeep(server.database, server.clock, Custody(server.settings.custody_key_file))


@pytest.mark.parametrize("damage", ["missing", "wrong", "short"])
@story
async def test_without_the_key_file_the_user_is_told_the_operator_hears_and_no_use_is_lost(network: Network, damage: str) -> None:
    a, b = network.server("a", keys=Keys(custody_key=Path(mkdtemp(dir=FOLDER.name)) / "custody.key")), network.server("b")
    file = a.server.settings.custody_key_file
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, key_custody=True, key=GEK, uses=1)
    kept = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(b"x" * (32 if damage == "wrong" else 7))
    a = network.restart(a)
    dave = await device(a, "dave", "D")
    heard: list[str] = []
    globalLogPublisher.addObserver(observer := lambda event: heard.append(formatEvent(event)))
    try:
        answer = await follow(bob, made)
        local = await follow(dave, made)
        await upkeep(a).examine()
    finally:
        globalLogPublisher.removeObserver(observer)
    assert local.status == 503 and "operator" in local.json["error"]
    assert answer.status == 502 and "operator" in answer.json["error"] and str(file) not in answer.json["error"]
    assert sum(str(file) in line for line in heard) >= 3, "with the name of the file"
    if damage == "missing":
        body = {"approval": False, "key_custody": True, "key": GEK}
        again = a.stranger(alice.client.token)
        assert (await again.post(f"{CLIENT}/rooms/{room}/links", body)).status == 503
        assert not file.exists(), "no new one is put in its place: the old one would be lost for good"
    file.write_bytes(kept)
    network.restart(a)
    answer = good(await follow(bob, made))
    bob._open(answer["key"])
    assert bob.room_key == ROOM_KEY


# --- people whose time is over ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["a", "b"])
@story
async def test_who_waits_at_a_link_that_is_revoked_waits_no_longer(network: Network, there: str) -> None:
    network.server("a"), network.server("b")
    alice, bob = await device(network.servers["a"], "alice", "A"), await device(network.servers[there], "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, approval=True)
    request_id = good(await follow(bob, made))["request_id"]
    good(await alice.client.delete(f"{CLIENT}/rooms/{room}/links/{made['link_id']}"))
    assert good(await alice.client.get(f"{CLIENT}/rooms/{room}/link_requests"))["requests"] == []
    assert (await alice.client.post(f"{CLIENT}/link_requests/{request_id}/approve")).status == 404
    assert (await follow(bob, made)).json == NO_LINK and not await is_in(bob, room)


@pytest.mark.parametrize("how", ["locked", "suspended", "deactivated"])
@story
async def test_a_link_ends_or_rests_with_the_account_that_made_it(network: Network, how: str) -> None:
    a = network.server("a")
    alice, bob, admin = await device(a, "alice", "A"), await device(a, "bob", "B"), await a.user("admin", admin=True)
    room = await private_room(alice)
    made = await link(alice, room)
    user = alice.client.user_id
    if how == "suspended":
        good(await admin.put(f"/_synapse/admin/v1/suspend/{user}", {"suspend": True}))
        assert (await alice.client.post(f"{CLIENT}/rooms/{room}/links", {"approval": False, "key_custody": False})).status == 403
    else:
        good(await admin.put(f"/_synapse/admin/v2/users/{user}", {how: True}))
    assert (await follow(bob, made)).json == NO_LINK
    assert (await shown(a, made["token"])).status == 404
    if how == "suspended":
        good(await admin.put(f"/_synapse/admin/v1/suspend/{user}", {"suspend": False}))
        assert good(await follow(bob, made))["status"] == "joined"


@story
async def test_who_may_not_join_rooms_may_not_follow_links(network: Network) -> None:
    a = network.server("a", registration=Registration(mode="open", guests=True))
    alice, bob, admin = await device(a, "alice", "A"), await device(a, "bob", "B"), await a.user("admin", admin=True)
    room = await private_room(alice)
    made = await link(alice, room, uses=1)
    guest = good(await a.stranger().post("/register", {}, kind="guest"))
    body = {"server": "a", "token": made["token"]}
    assert (await a.stranger(guest["access_token"]).post(f"{CLIENT}/follow_link", body)).status == 403
    assert (await a.stranger().post(f"{CLIENT}/follow_link", body)).status == 401
    good(await admin.put(f"/_synapse/admin/v1/suspend/{bob.client.user_id}", {"suspend": True}))
    assert (await follow(bob, made)).json["errcode"] == "M_USER_SUSPENDED"
    good(await admin.put(f"/_synapse/admin/v2/users/{bob.client.user_id}", {"locked": True}))
    assert (await follow(bob, made)).json["errcode"] == "M_USER_LOCKED"
    assert good(await alice.client.get(f"{CLIENT}/rooms/{room}/links"))["links"][0]["uses_left"] == 1


@story
async def test_a_bridge_follows_no_links_for_its_users_they_have_no_device_for_a_key(network: Network) -> None:
    bridge = bridged(network)
    alice, ghost = await device(bridge.home, "alice", "A"), await bridge.ghost("irc_bob")
    room = await private_room(alice)
    made = await link(alice, room, uses=1)
    answer = await ghost.post(f"{CLIENT}/follow_link", {"server": "a", "token": made["token"]})
    assert answer.status == 400 and "Only a device" in answer.json["error"]
    status, _ = await asks_on_page(bridge.home, made["token"], ghost.user_id)
    assert status == 200 and await membership(alice.client, room, ghost) == "invite", "but it can be invited as everybody can"  # type: ignore[arg-type]


@story
async def test_a_purged_room_takes_its_links_along_and_an_upgraded_one_keeps_them(network: Network) -> None:
    a = network.server("a")
    alice, bob, admin = await device(a, "alice", "A"), await device(a, "bob", "B"), await a.user("admin", admin=True)
    room = await private_room(alice)
    made = await link(alice, room)
    good(await alice.client.post(f"/rooms/{room}/upgrade", {"new_version": "11"}))
    assert (await follow(bob, made)).status in (200, 404)
    good(await admin.delete(f"/_synapse/admin/v2/rooms/{room}", {"purge": True}))
    await network.passes(30)
    assert (await follow(bob, made)).json == NO_LINK and (await shown(a, made["token"])).status == 404
    assert await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM join_links")) == 0


@story
async def test_who_blocked_the_inviter_uses_nothing_up(network: Network) -> None:
    a = network.server("a")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, uses=1)
    path = f"/user/{bob.client.user_id}/account_data/m.invite_permission_config"
    good(await bob.client.put(path, {"default_action": "block"}))
    assert (await follow(bob, made)).json["errcode"] == "M_INVITE_BLOCKED"
    good(await bob.client.put(path, {}))
    assert good(await follow(bob, made))["status"] == "joined"


# --- bounds and operators -----------------------------------------------------------------------------------------------------


@story
async def test_a_user_has_so_many_links_and_no_more_and_ended_ones_do_not_count(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MOST_OF_USER", 3)
    a = network.server("a")
    alice = await device(a, "alice", "A")
    rooms = [await private_room(alice) for _ in range(2)]
    first, *_ = [await link(alice, rooms[number % 2]) for number in range(3)]
    path, body = f"{CLIENT}/rooms/{rooms[0]}/links", {"approval": False, "key_custody": False}
    answer = await alice.client.post(path, body)
    assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN") and "at most 3" in answer.json["error"]
    good(await alice.client.delete(f"{path}/{first['link_id']}"))
    good(await alice.client.post(path, body))


@story
async def test_making_links_is_slowed_down(network: Network) -> None:
    a = network.server("a", rate_limits=RateLimits())
    alice = await device(a, "alice", "A")
    room = await private_room(alice)
    path, body = f"{CLIENT}/rooms/{room}/links", {"approval": False, "key_custody": False}
    told = [await alice.client.post(path, body) for _ in range(25)]
    assert [one.status for one in told] == [200] * 20 + [429] * 5 and told[-1].json["retry_after_ms"] > 0


@story
async def test_operators_see_and_end_the_links_into_a_room(network: Network) -> None:
    a = network.server("a")
    alice, bob, admin = await device(a, "alice", "A"), await device(a, "bob", "B"), await a.user("admin", admin=True)
    room = await private_room(alice)
    made = await link(alice, room, key_custody=True, key=GEK)
    path = f"{CLIENT}/admin/rooms/{room}/links"
    (listed,) = good(await admin.get(path))["links"]
    assert (listed["link_id"], listed["creator"], listed["key_custody"]) == (made["link_id"], alice.client.user_id, True)
    assert made["token"] not in str(listed) and GEK not in str(listed)
    assert (await alice.client.get(path)).status == (await alice.client.delete(f"{path}/{made['link_id']}")).status == 403
    assert (await admin.delete(f"{CLIENT}/admin/rooms/!other:a/links/{made['link_id']}")).status == 404
    good(await admin.delete(f"{path}/{made['link_id']}"))
    assert (await follow(bob, made)).json == NO_LINK


# --- the page --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["a", "b"])
@story
async def test_who_enters_their_name_on_the_page_is_invited_and_joins_by_themselves(network: Network, there: str) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(network.servers[there], "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, uses=2)
    for _ in range(2):
        status, page = await asks_on_page(a, made["token"], bob.client.user_id)
        assert status == 200 and f"{bob.client.user_id} is invited" in page
    assert not await is_in(bob, room) and await membership(bob.client, room, bob.client) == "invite"
    assert good(await alice.client.get(f"{CLIENT}/rooms/{room}/links"))["links"][0]["uses_left"] == 1
    good(await bob.client.post(f"/join/{room}", {}, via=["a"]))
    assert b.name == "b"


@story
async def test_who_does_not_come_is_not_invited_again_by_whoever_holds_the_link(network: Network) -> None:
    a = network.server("a")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room)
    await asks_on_page(a, made["token"], bob.client.user_id)
    good(await bob.client.post(f"/rooms/{room}/leave"))
    assert (await asks_on_page(a, made["token"], bob.client.user_id))[0] == 200
    assert await membership(alice.client, room, bob.client) == "leave"
    assert good(await follow(bob, made))["status"] == "joined", "what they do themselves goes before that"


@pytest.mark.parametrize("there", ["a", "b"])
@pytest.mark.parametrize("decided", ["approve", "decline", None])
@story
async def test_through_the_page_approval_brings_an_invite_and_takes_nothing_from_the_user(
    network: Network, there: str, decided: str | None
) -> None:
    a, _ = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(network.servers[there], "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, approval=True, uses=1)
    status, page = await asks_on_page(a, made["token"], bob.client.user_id)
    assert status == 200 and "A member was asked" in page
    (waiting,) = good(await alice.client.get(f"{CLIENT}/rooms/{room}/link_requests"))["requests"]
    assert waiting["device_id"] == "", "nobody has proven to be that user"
    if decided:
        good(await alice.client.post(f"{CLIENT}/link_requests/{waiting['request_id']}/{decided}"))
        await network.passes(10)
    assert not await is_in(bob, room)
    if decided == "approve":
        assert await membership(bob.client, room, bob.client) == "invite"
    else:
        answer = good(await follow(bob, made))
        assert answer["status"] == "waiting" and answer["request_id"] != waiting["request_id"]


@story
async def test_the_page_gives_no_key_away(network: Network) -> None:
    a = network.server("a")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, key_custody=True, key=GEK)
    status, page = await asks_on_page(a, made["token"], bob.client.user_id)
    assert status == 200 and GEK not in page
    bob._open(good(await follow(bob, made))["key"])
    assert bob.room_key == ROOM_KEY


@story
async def test_what_the_page_cannot_do_it_says_and_uses_nothing_up(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redeeming, "MOST_UNPROVEN", 2)
    a, _ = network.server("a"), network.server("b")
    network.down.add("c")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    room = await private_room(alice)
    made = await link(alice, room, uses=3)
    good(await alice.client.post(f"/rooms/{room}/ban", {"user_id": "@mallory:b"}))
    refused = ("@mallory:b", "@nobody:a", "@carol:c", "@x:b", "@<i>:b")
    for name, expected in (("bob", 400), ("", 400), *((one, 403) for one in refused)):
        status, page = await asks_on_page(a, made["token"], name)
        assert status == expected and "<i>" not in page, name
    assert good(await alice.client.get(f"{CLIENT}/rooms/{room}/links"))["links"][0]["uses_left"] == 3
    for number in range(2):
        await device(a, f"user{number}", "D")
        assert (await asks_on_page(a, made["token"], f"@user{number}:a"))[0] == 200
    assert (await asks_on_page(a, made["token"], bob.client.user_id))[0] == 429, "strangers' names are bounded for each link"
    assert good(await follow(bob, made))["status"] == "joined", "users themselves are not"


@story
async def test_the_last_use_through_the_page_still_says_what_comes_next(network: Network) -> None:
    a = network.server("a")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    made = await link(alice, await private_room(alice), uses=1)
    status, page = await asks_on_page(a, made["token"], bob.client.user_id)
    assert status == 200 and "is invited" in page
    nowhere = await shown(a, made["token"])
    assert (await asks_on_page(a, made["token"], "@x:b")) == (404, bytes(nowhere.body).decode())


class Seen(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


HOSTILE = some.one_of(some.text(max_size=60), some.sampled_from("<>&\"'/=` \0").flatmap(lambda one: some.text(alphabet=f"<>&\"'/= a{one}")))


def page_of(name: str, topic: str, kind: str, room: str, said: str) -> Seen:
    found = Landing(RoomID(f"!{room}:a"), name, topic, "", 2, False, (ServerName("a"),))
    spoken = Said(400, said, said)
    content = link_pages._room(found, name or "A room", (kind, b"x")) + link_pages._said(spoken) + link_pages._form(spoken)
    content += link_pages.LinkPages._ways(Pages("a"), found, "TOKEN")  # type: ignore[arg-type]
    seen = Seen()
    seen.feed(bytes(link_pages._page(200, name, content).body).decode("utf-8", "surrogatepass"))
    seen.close()
    return seen


class Pages:
    def __init__(self, name: str) -> None:
        self.name = name


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_whatever_a_room_calls_itself_the_page_is_the_same_page(name: str, topic: str, kind: str, room: str, said: str) -> None:
    plain, hostile = page_of("x", "x", "x", "x", "x"), page_of(name or "x", topic or "x", kind, room, said)
    assert hostile.elements == plain.elements
    assert [re.match(r"[a-z]+:", one)[0] for one in hostile.links] == ["data:", "matrix:", "https:"]  # type: ignore[index]
