"""A server that lies in what it sends: transactions, joins, invites, EDUs.  What is wrong is refused, and nothing changes."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeserver.events import canonical
from homeserver.events.identifiers import ServerName
from homeserver.events.signing import Key
from homeserver.federation.authentication import authorization
from homeserver.federation.failures import Answered
from homeserver.identity import Identity
from homeserver.web.types import Request
from tests import databases
from tests.federation.test_between_servers import heard, joined, says, settled, shared_room
from tests.hostile import liars
from tests.hostile.liars import ask, facts, id_of, made_up, send, signed, version_of
from tests.world import Client, Home, Network, drive, good, story


@pytest.fixture(autouse=True)
def nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What others do must not even surprise us."""
    yield
    assert not [record.getMessage() for record in caplog.get_records("call") if record.exc_info]


async def two(network: Network, version: str | None = None) -> tuple[Home, Home, Client, Client, str]:
    """alice of a, bob of b (who will lie), and a room of both, made by alice."""
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob, version=version)
    await settled(network)
    return a, b, alice, bob, room


@story
async def test_a_transaction_over_the_limits_is_refused_as_a_whole(network: Network) -> None:
    a, b, _, bob, room = await two(network)
    pdu = await liars.event(bob, room, "m.room.message", {"body": "x"})
    edu = {"edu_type": "m.typing", "content": {"room_id": room, "user_id": bob.user_id, "typing": True}}
    before = await facts(a)
    for pdus, edus in (([pdu] * 51, []), ([pdu], [edu] * 101), ("x", []), ([], {}), (None, None)):
        body = canonical.encode({"origin": "b", "origin_server_ts": 1, "pdus": pdus, "edus": edus})
        with pytest.raises(Answered) as refused:
            await b.server.federation.peers.send_transaction(a.name, "t1", body)
        assert (refused.value.status, refused.value.errcode) == (400, "M_BAD_JSON")
    assert await facts(a) == before
    # The id of a refused transaction is not used up.
    assert (await send(b, a, pdu, txn="t1")).pdus == {id_of(await version_of(a, room), pdu): {}}


@story
async def test_events_that_nobody_honest_would_send(network: Network) -> None:
    a, b, alice, bob, room = await two(network, "11")
    version = await version_of(a, room)
    mallory = await b.user("mallory")
    topic = await liars.event(bob, room, "m.room.message", {"body": "good"})
    member = {"membership": "join"}
    wrong = {
        "depth beyond 2^53": topic | {"depth": 2**63},
        "depth beyond 2^53, a bit": topic | {"depth": 2**53},
        "depth below 0": topic | {"depth": -1},
        "depth of another kind": topic | {"depth": 1.5},
        "a float": topic | {"content": {"body": "x", "n": 1.5}},
        "a large number": topic | {"content": {"body": "x", "n": 2**53}},
        "NUL": topic | {"type": "m\0"},
        "no signature": topic | {"signatures": {}},
        "a signature of a only": topic | {"signatures": {"a": topic["signatures"]["b"]}},
        "changed after it was signed": topic | {"origin_server_ts": 5},
        "in the name of a": await liars.event(bob, room, "m.room.message", {"body": "x"}, sender="@alice:a"),
        "by somebody who is not in the room": await liars.event(mallory, room, "m.room.message", {"body": "x"}),
        "power without power": await liars.event(bob, room, "m.room.power_levels", {"users": {"@bob:b": 100}}, ""),
        "a join for somebody else": await liars.event(bob, room, "m.room.member", member, "@alice:a"),
        "a ban of the mighty": await liars.event(bob, room, "m.room.member", {"membership": "ban"}, "@alice:a"),
        "an unknown membership": await liars.event(bob, room, "m.room.member", {"membership": "god"}, "@bob:b"),
        "a second beginning": signed(
            b, version, topic | {"type": "m.room.create", "state_key": "", "prev_events": [], "auth_events": [], "content": {}}
        ),
        "no predecessors": await liars.event(bob, room, "m.room.message", {"body": "x"}, prev_events=[]),
        "no authority": await liars.event(bob, room, "m.room.message", {"body": "x"}, auth_events=[]),
        "too many predecessors": await liars.event(bob, room, "m.room.message", {"body": "x"}, prev_events=["$x"] * 21),
        "an authority twice": await liars.event(bob, room, "m.room.message", {"body": "x"}, auth_events=topic["auth_events"] * 2),
        "itself as predecessor, in vain": await liars.event(bob, room, "m.room.message", {"body": "x"}, prev_events=["$" + "x" * 43]),
    }
    assert isinstance(topic["auth_events"], list) and alice.user_id == "@alice:a"
    before = await facts(a)
    for number, (what, pdu) in enumerate(wrong.items()):
        network.log.clear()
        await send(b, a, pdu, txn=f"t{number}")
        assert await facts(a) == before, what
        assert sum(source == "a" for source, _, _, _ in network.log) <= 10, what
    await send(b, a, topic, txn="good")
    assert await heard(alice, room) == ["good"]


@story
async def test_a_second_create_event_from_the_room_s_own_server(network: Network) -> None:
    for version in ("1", "6", "11"):
        a, b, alice, bob, room = await two(network, version)
        content = {"creator": alice.user_id, "room_version": version}
        create = await liars.event(alice, room, "m.room.create", content, "", prev_events=[], auth_events=[])
        before = await facts(b)
        await send(a, b, create)
        await settled(network)
        assert await facts(b) == before
        assert await joined(bob, room) == {alice.user_id, bob.user_id}
        network.servers.clear()


@story
async def test_keys_that_have_expired_or_are_another_s(network: Network) -> None:
    a, b, alice, bob, room = await two(network, "11")
    version, identity = await version_of(a, room), b.server.identity
    pdu = await liars.event(bob, room, "m.room.message", {"body": "x"})
    other = Identity(identity.name, Key.of_seed(identity.key.id, b"another".ljust(32, b"-")))
    unknown = Identity(identity.name, Key.of_seed("ed25519:unknown", b"another".ljust(32, b"-")))
    bare = {key: value for key, value in pdu.items() if key != "signatures"}
    before = await facts(a)
    await send(b, a, other.sign_event(version, bare), unknown.sign_event(version, bare), txn="t1")
    # The document of b, as a knows it, was good until long before this event.
    await a.server.database.write(lambda txn: txn.run("UPDATE server_keys SET valid_until = 1000"))
    assert await facts(a) == before
    with pytest.raises(Answered) as refused:
        stranger = Identity(identity.name, Key.of_seed("ed25519:x", b"stranger".ljust(32, b"-")))
        object.__setattr__(b.server.federation.peers.conversation, "identity", stranger)
        await send(b, a, pdu, txn="t2")
    assert (refused.value.status, refused.value.errcode) == (401, "M_UNAUTHORIZED")
    assert await facts(a) == before and alice.user_id


@story
async def test_what_nobody_with_a_key_sent_is_not_even_read(network: Network) -> None:
    a = network.server("a")
    nobody = Identity(ServerName("nowhere"), Key.of_seed("ed25519:1", b"n" * 32))
    path = "/_matrix/federation/v1/send/t"
    for raw in (b"{}", b"no JSON" * 1000):
        header = authorization(nobody, a.name, "PUT", path, b"{}")
        response = await a.respond(Request("PUT", path, "", {"authorization": header}, raw))
        assert response.status == 401


@story
async def test_an_event_is_taken_once_and_its_origin_is_who_signed_it(network: Network) -> None:
    a, b, alice, bob, room = await two(network)
    pdu = await liars.event(bob, room, "m.room.message", {"body": "one"})
    for _ in range(2):
        answer = await send(b, a, pdu, txn="t1", origin="c")
        assert answer.pdus == {id_of(await version_of(a, room), pdu): {}}
    assert await heard(alice, room) == ["one"]
    other = await liars.event(bob, room, "m.room.message", {"body": "two"})
    answer = await send(b, a, other, txn="t1")  # a name that was used for something else says nothing about this
    assert answer.pdus == {id_of(await version_of(a, room), other): {}}
    assert await heard(alice, room) == ["one", "two"]


@story
async def test_events_of_a_room_that_only_one_of_them_is_in(network: Network) -> None:
    a, b, alice, bob, room = await two(network)
    c = network.server("c")
    carol = await c.user("carol")
    secret = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    event_id = await says(alice, secret, "secret")
    before = await facts(a)
    version = await version_of(a, secret)
    forged = made_up(b, version, secret, bob.user_id, 9, [event_id], [], "let me in")
    await send(b, a, forged)
    assert await facts(a) == before
    for who in (b, c):
        for method, path, body in questions(secret, event_id, f"@x:{who.name}"):
            status, errcode = await ask(who, a, method, path, body)
            assert (status, errcode) in ((403, "M_FORBIDDEN"), (404, "M_NOT_FOUND"), (400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")), path
    assert await facts(a) == before and carol.user_id and room


def questions(room: str, event_id: str, user: str) -> list[tuple[str, str, Any]]:
    """All that servers ask about a room."""
    gap = {"earliest_events": [], "latest_events": [event_id], "limit": 10, "min_depth": 0}
    member = {"type": "m.room.member", "sender": user, "state_key": user, "content": {"membership": "join"}, "room_id": room}
    return [
        ("GET", f"/v1/state/{room}?event_id={event_id}", None),
        ("GET", f"/v1/state_ids/{room}?event_id={event_id}", None),
        ("GET", f"/v1/event_auth/{room}/{event_id}", None),
        ("GET", f"/v1/backfill/{room}?v={event_id}&limit=10", None),
        ("POST", f"/v1/get_missing_events/{room}", gap),
        ("GET", f"/v1/event/{event_id}", None),
        ("GET", f"/v1/make_join/{room}/{user}?ver=12&ver=11&ver=10", None),
        ("GET", f"/v1/make_knock/{room}/{user}?ver=12&ver=11&ver=10", None),
        ("GET", f"/v1/make_leave/{room}/{user}", None),
        *(("PUT", f"/{what}/{room}/{event_id}", member) for what in ("v1/send_join", "v2/send_join", "v1/send_leave", "v2/send_leave")),
        ("PUT", f"/v1/send_knock/{room}/{event_id}", member),
    ]


@story
async def test_a_denied_server_is_denied_everywhere(network: Network) -> None:
    a, b, alice, bob, room = await two(network)
    event_id = await says(alice, room, "hello")
    await settled(network)
    good(await alice.put(f"/rooms/{room}/state/m.room.server_acl", {"allow": ["*"], "deny": ["b"]}))
    await settled(network)
    pdu = await liars.event(bob, room, "m.room.message", {"body": "x"})
    invite = await liars.event(bob, room, "m.room.member", {"membership": "invite"}, "@anna:a")
    await a.user("anna")
    before = await facts(a)
    for method, path, body in questions(room, event_id, bob.user_id):
        status, errcode = await ask(b, a, method, path, body)
        assert status == 403 if "/event/" not in path else status == 404, (path, errcode)
    version = await version_of(b, room)
    path = f"/v2/invite/{room}/{id_of(version, invite)}"
    assert (await ask(b, a, "PUT", path, {"room_version": version.id, "event": invite}))[0] == 403
    edus = [
        {"edu_type": "m.typing", "content": {"room_id": room, "user_id": bob.user_id, "typing": True}},
        {"edu_type": "m.receipt", "content": {room: {"m.read": {bob.user_id: {"event_ids": [event_id], "data": {"ts": 1}}}}}},
    ]
    answer = await send(b, a, pdu, edus=edus)
    assert "error" in answer.pdus[id_of(version, pdu)]
    assert await facts(a) == before
    assert "ephemeral" not in good(await alice.get("/sync"))["rooms"]["join"][room] or not [
        each for each in good(await alice.get("/sync"))["rooms"]["join"][room]["ephemeral"]["events"] if each["content"].get("user_ids")
    ]


# --- joins through us ------------------------------------------------------------------------------------------


@story
async def test_what_is_no_join_of_its_sender_does_not_pass_as_one(network: Network) -> None:
    a, b, alice, bob, room = await two(network)
    version = await version_of(a, room)
    eve = await b.user("eve")
    anna = await a.user("anna")
    template = (await ask(b, a, "GET", f"/v1/make_join/{room}/{eve.user_id}?ver={version.id}"))[1]["event"]
    wrong = {
        "for somebody else": template | {"state_key": bob.user_id, "sender": eve.user_id},
        "by a user of another server": template | {"sender": anna.user_id, "state_key": anna.user_id},
        "a ban": template | {"content": {"membership": "ban"}},
        "a leave": template | {"content": {"membership": "leave"}},
        "no member event": template | {"type": "m.room.topic", "state_key": ""},
        "no state": {key: value for key, value in template.items() if key != "state_key"},
        "in another room": template | {"room_id": "!" + "x" * 43},
        "from nowhere": template | {"prev_events": []},
        "after what nobody knows": template | {"prev_events": ["$" + "x" * 43]},
        "on nobody's authority": template | {"auth_events": ["$" + "x" * 43]},
        "too deep": template | {"depth": 2**53},
    }
    before = await facts(a)
    for what, data in wrong.items():
        try:
            pdu = signed(b, version, data)
        except Exception:
            pdu = data | {"signatures": {"b": {"ed25519:a_test": "x"}}}
        event_id = id_of(version, pdu) if what != "too deep" else "$" + "x" * 43
        status, errcode = await ask(b, a, "PUT", f"/v2/send_join/{room}/{event_id}", pdu)
        assert status in (400, 403) and errcode in ("M_BAD_JSON", "M_INVALID_PARAM", "M_FORBIDDEN"), (what, status, errcode)
        assert await facts(a) == before, what
    good_one = signed(b, version, template)
    status, errcode = await ask(b, a, "PUT", f"/v2/send_join/{room}/${'y' * 43}", good_one)
    assert (status, errcode) == (400, "M_BAD_JSON")
    status, errcode = await ask(b, a, "PUT", f"/v2/send_join/{room}/{id_of(version, good_one)}", good_one | {"signatures": {}})
    assert (status, errcode) == (403, "M_FORBIDDEN")
    assert await facts(a) == before and alice.user_id


@story
async def test_nobody_is_vouched_for_who_did_not_ask_first(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, eve = await a.user("alice"), await b.user("bob"), await b.user("eve")
    space = await shared_room(alice, version="11")
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rule}]
    body: dict[str, Any] = {"preset": "public_chat", "room_version": "11", "initial_state": state}
    room = good(await alice.post("/createRoom", body))["room_id"]
    good(await bob.post(f"/join/{space}?via=a", {}))
    good(await bob.post(f"/join/{room}?via=a", {}))
    await settled(network)
    # eve is not in the space.  Her server knows all that goes into the event, and asks for no template.
    version = await version_of(a, room)
    assert (await ask(b, a, "GET", f"/v1/make_join/{room}/{eve.user_id}?ver=11"))[0] in (400, 403)
    pdu = await liars.event(eve, room, "m.room.member", {"membership": "join", "join_authorised_via_users_server": "@alice:a"}, eve.user_id)
    before = await facts(a)
    assert await ask(b, a, "PUT", f"/v2/send_join/{room}/{id_of(version, pdu)}", pdu) == (403, "M_FORBIDDEN")
    assert await facts(a) == before
    assert eve.user_id not in await joined(alice, room)


# --- invites ---------------------------------------------------------------------------------------------------


@story
async def test_odd_invites_are_refused_and_no_invite_breaks_a_sync(network: Network) -> None:
    a, b, alice, bob, _ = await two(network)
    room = good(await bob.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    version = await version_of(b, room)
    pdu = await liars.event(bob, room, "m.room.member", {"membership": "invite"}, alice.user_id)
    event_id = id_of(version, pdu)

    async def invite(data: Any, at: str = event_id, where: str = room, shown: Any = (), version_id: str = version.id) -> tuple[int, Any]:
        body = {"room_version": version_id, "event": data, "invite_room_state": shown}
        return await ask(b, a, "PUT", f"/v2/invite/{where}/{at}", body)

    before = await facts(a)
    for data in (
        signed(b, version, pdu | {"state_key": bob.user_id}),
        signed(b, version, pdu | {"content": {"membership": "join"}}),
        signed(b, version, pdu | {"type": "m.room.topic"}),
        signed(b, version, pdu | {"sender": "@alice:a"}),
        signed(b, version, pdu | {"state_key": "@nobody:a"}),
        pdu | {"signatures": {}},
        pdu | {"depth": -1},
        {},
    ):
        status, errcode = await invite(data, id_of(version, data) if data.get("type") and data["depth"] >= 0 else event_id)
        assert status in (400, 403, 404) and errcode, data
        assert await facts(a) == before, data
    assert await invite(pdu, "$" + "x" * 43) == (400, "M_BAD_JSON")
    assert (await invite(pdu, where="!" + "x" * 43))[0] == 400
    assert await invite(pdu, version_id="nonsense") == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert (await invite(pdu, version_id="10"))[0] == 400
    assert await facts(a) == before
    odd: list[Any] = [None, 1, "x", [], {}, {"type": 5}, {"type": "m.room.name", "content": 5, "sender": "x"}, {"type": "m.room.name"}]
    large = {"type": "m.room.topic", "state_key": "", "sender": bob.user_id, "content": {"topic": "x" * 70_000}}
    name = {"type": "m.room.name", "state_key": 5, "sender": "", "content": {"name": {"a": [1.5]}}, "origin_server_ts": "x"}
    assert (await invite(pdu, shown=[*odd, large, name, *([name] * 200)]))[0] == 200
    shown = good(await alice.get("/sync"))["rooms"]["invite"][room]["invite_state"]["events"]
    assert len(shown) <= 102 and all("topic" not in each["content"] for each in shown)
    good(await alice.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", {"lists": {}}))


# --- EDUs ------------------------------------------------------------------------------------------------------


def edus_about(user: str, device: str, room: str, event_id: str) -> list[dict[str, Any]]:
    keys = {"user_id": user, "keys": {"ed25519:x": "x" * 43}, "usage": ["master"]}
    return [
        {"edu_type": "m.typing", "content": {"room_id": room, "user_id": user, "typing": True}},
        {"edu_type": "m.presence", "content": {"push": [{"user_id": user, "presence": "online", "last_active_ago": 1}]}},
        {"edu_type": "m.receipt", "content": {room: {"m.read": {user: {"event_ids": [event_id], "data": {"ts": 1, "thread_id": "$x"}}}}}},
        {
            "edu_type": "m.device_list_update",
            "content": {
                "user_id": user,
                "device_id": device,
                "stream_id": 5,
                "prev_id": [],
                "keys": {"keys": {"ed25519:x": "x"}},
                "deleted": False,
            },
        },
        {"edu_type": "m.signing_key_update", "content": {"user_id": user, "master_key": keys, "self_signing_key": keys}},
        {
            "edu_type": "m.direct_to_device",
            "content": {"sender": user, "type": "m.x", "message_id": "m", "messages": {"@alice:a": {"D": {"body": "x"}, "*": {}}}},
        },
    ]


@story
async def test_a_server_speaks_for_its_own_users_only(network: Network) -> None:
    a, b, alice, _, room = await two(network)
    carol = await network.server("c").user("carol")
    good(await carol.post(f"/join/{room}", {}, server_name=["a"]))
    event_id = await says(alice, room, "hello")
    await settled(network)
    since = good(await alice.get("/sync"))["next_batch"]
    before = await facts(a)
    for user in (alice.user_id, carol.user_id, "@nobody:b", "nonsense", "@bob:b\0"):
        await send(b, a, edus=edus_about(user, "D", room, event_id)[:5], txn=f"{len(user)}{user[:3]}")
    for user in (alice.user_id, carol.user_id, "nonsense"):
        await send(b, a, edus=edus_about(user, "D", room, event_id), txn=f"to device {user}")
    await network.passes(1)
    assert await facts(a) == before
    news = good(await alice.get("/sync", since=since, timeout=0))
    assert "to_device" not in news or not news["to_device"]["events"]
    assert not news.get("rooms", {}).get("join")
    assert [each["sender"] for each in news.get("presence", {}).get("events", [])] in ([], [alice.user_id])


@story
async def test_receipts_for_threads_that_do_not_exist_are_not_kept(network: Network) -> None:
    a, b, alice, bob, room = await two(network)
    event_id = await says(alice, room, "hello")
    before = await facts(a)
    for number in range(5):
        data = {"ts": 1, "thread_id": f"$made_up_{number}"}
        content = {room: {"m.read": {bob.user_id: {"event_ids": [event_id], "data": data}}}}
        await send(b, a, edus=[{"edu_type": "m.receipt", "content": content}], txn=str(number))
    assert await facts(a) == before


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4),
    st.sampled_from(["@bob:b", "@alice:a", "D", "*", "x" * 300, "\0", "ed25519:x", "master"]),
)  # fmt: skip


def shaped_like(value: object) -> st.SearchStrategy[Any]:
    if isinstance(value, dict):
        whole: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional={key: shaped_like(inner) for key, inner in value.items()})
        whole = st.one_of(whole, whole, st.fixed_dictionaries({key: shaped_like(inner) for key, inner in value.items()}))
    elif isinstance(value, list):
        whole = st.lists(shaped_like(value[0]) if value else ATOMS, max_size=3)
    else:
        whole = st.just(value)
    return st.one_of(
        whole, whole, whole, whole, ATOMS, st.lists(ATOMS, max_size=2), st.dictionaries(st.text(max_size=4), ATOMS, max_size=2)
    )


@settings(
    max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_no_edu_makes_the_server_fail(meeting: Any, caplog: pytest.LogCaptureFixture, data: st.DataObject) -> None:
    network, a, b, room, event_id = meeting
    known = data.draw(st.sampled_from(edus_about("@bob:b", "E", room, event_id)))
    edu = {"edu_type": known["edu_type"], "content": data.draw(shaped_like(known["content"]))}
    try:
        drive(send(b, a, edus=[edu, 5, None, {"edu_type": 5}], txn=str(network.reactor.seconds()) + str(len(network.log))), network.reactor)
    except Answered as error:
        assert error.status == 400, edu
    network.reactor.advance(0.1)
    assert not [record for record in caplog.records if record.exc_info], edu
    assert good(drive(a_user(network).get("/sync", timeout=0), network.reactor))


_users: dict[int, Client] = {}


def a_user(network: Network) -> Client:
    return _users[id(network)]


@pytest.fixture
def meeting() -> Any:
    network = Network()
    a, b, alice, _, room = drive(two(network), network.reactor)
    _users[id(network)] = alice
    event_id = drive(says(alice, room, "hello"), network.reactor)
    yield network, a, b, room, event_id
    _users.clear()
    databases.close_all()
