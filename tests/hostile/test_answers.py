"""A server that lies when it is asked.  Nothing is signed for it, nothing believed, and little asked."""

import itertools
from typing import Any

import orjson
import pytest

from homeserver.events import versions
from homeserver.events.signing import Key
from homeserver.federation import key_documents
from homeserver.federation.answers import Template
from homeserver.identity import Identity
from homeserver.web.types import Request, Response
from tests.federation.test_between_servers import heard, says, settled, shared_room
from tests.hostile import liars
from tests.hostile.liars import PDU, edited, facts, id_of, lying, made_up, send, signed, version_of
from tests.hostile.liars import says as answers
from tests.world import Network, good, story

NOWHERE = "$" + "x" * 43


# --- I8: templates ---------------------------------------------------------------------------------------------

TEMPLATES: dict[str, Any] = {
    "another type": {"type": "m.room.power_levels", "state_key": "", "content": {"users": {"@eve:b": 100}, "membership": "join"}},
    "another state key": {"state_key": "@eve:b"},
    "another sender": {"sender": "@eve:b"},
    "another room": {"room_id": "!" + "y" * 43},
    "an invite": {"content": {"membership": "invite"}},
    "a leave": {"content": {"membership": "leave"}},
    "no content": {"content": None},
    "no predecessors": {"prev_events": []},
    "predecessors of no form": {"prev_events": [["$x", {}]]},
    "too many predecessors": {"prev_events": [NOWHERE] * 21},
    "too many authorities": {"auth_events": [NOWHERE] * 1000},
    "too deep": {"depth": 2**63},
    "depth below nothing": {"depth": -1},
    "depth of a kind": {"depth": 1.5},
    "a voucher that is nobody": {"content": {"membership": "join", "join_authorised_via_users_server": "x"}},
}


@story
async def test_templates_that_would_have_us_sign_something_else(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(bob, version="11")
    before = await facts(a)
    for what, change in TEMPLATES.items():
        liar = lying(b, make_join=edited(lambda answer, change=change: {**answer, "event": {**answer["event"], **change}}))
        reply = await alice.post(f"/join/{room}", {}, server_name=["b"])
        assert reply.status in (400, 403, 404, 502), what
        assert liar.count("send_join") == 0, what
        assert await facts(a) == before, what
    for version in ("1", "12", "nonsense", 5, None):
        liar = lying(b, make_join=edited(lambda answer, version=version: {**answer, "room_version": version}))
        assert (await alice.post(f"/join/{room}", {}, server_name=["b"])).status >= 400
        assert await facts(a) == before, version


@story
async def test_what_else_stands_in_a_template_is_not_signed(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(bob, version="11")
    sent: list[Any] = []

    def add(answer: Any) -> Any:
        event = answer["event"]
        event["content"] |= {"displayname": "Evil", "third_party_invite": {}, "x": 1}
        return {**answer, "event": {**event, "redacts": "$x", "unsigned": {"a": 1}, "evil": True, "origin_server_ts": 1, "event_id": "$x"}}

    def look(request: Request, response: Response) -> Response:
        sent.append(orjson.loads(request.body))
        return response

    lying(b, make_join=edited(add), send_join=look)
    good(await alice.post(f"/join/{room}", {}, server_name=["b"]))
    (event,) = sent
    assert set(event) == {
        *("type", "sender", "state_key", "content", "room_id", "depth", "prev_events", "auth_events", "origin_server_ts", "hashes"),
        "signatures",
    }
    assert event["content"] == {"membership": "join", "displayname": "alice"} and event["origin_server_ts"] != 1


@story
async def test_leaves_and_knocks_are_made_from_our_own_fields_too(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await bob.post("/createRoom", {"preset": "private_chat", "room_version": "11"}))["room_id"]
    for what, change in TEMPLATES.items():
        if "join" in str(change):
            continue
        good(await bob.post(f"/rooms/{room}/invite", {"user_id": alice.user_id}))
        await settled(network)
        liar = lying(b, make_leave=edited(lambda answer, change=change: {**answer, "event": {**answer["event"], **change}}))
        # Nobody has to stay invited because the other server lies.
        if what != "a leave":
            good(await alice.post(f"/rooms/{room}/leave", {}))
            assert liar.count("send_leave") == 0, what
        network.servers["b"] = b
        await bob.post(f"/rooms/{room}/kick", {"user_id": alice.user_id})
        await settled(network)


# --- rooms that are given to us --------------------------------------------------------------------------------


@story
async def test_rooms_that_are_none(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(bob, version="11")
    other = await shared_room(bob, version="11")
    version = await version_of(b, room)
    good(await bob.put(f"/rooms/{room}/state/m.room.topic", {"topic": "one"}))
    foreign = await liars.event(bob, other, "m.room.topic", {"topic": "foreign"}, "")
    second = await liars.event(bob, room, "m.room.topic", {"topic": "two"}, "")
    ban = await liars.event(bob, room, "m.room.member", {"membership": "ban"}, alice.user_id)
    create = await liars.event(bob, room, "m.room.create", {"room_version": "11"}, "", prev_events=[], auth_events=[])

    def without(kind: str) -> Any:
        return lambda answer: answer | {name: [one for one in answer[name] if one["type"] != kind] for name in ("state", "auth_chain")}

    def with_state(*more: Any) -> Any:
        return lambda answer: answer | {"state": [*answer["state"], *more]}

    def forged(answer: Any) -> Any:
        return answer | {"state": [{**one, "signatures": {}} for one in answer["state"]]}

    def not_ours(answer: Any) -> Any:
        return answer | {"event": second}

    lies: dict[str, Any] = {
        "no create event": without("m.room.create"),
        "no authority": lambda answer: answer | {"state": answer["state"][:1], "auth_chain": []},
        "nothing": lambda answer: answer | {"state": [], "auth_chain": []},
        "two of a kind": with_state(second),
        "two beginnings": with_state(create),
        "of another room": with_state(foreign),
        "we are banned": with_state(ban),
        "unsigned": forged,
        "another event than ours": not_ours,
        "no state": with_state(await liars.event(bob, room, "m.room.message", {"body": "x"})),
        "no lists": lambda answer: answer | {"state": {}},
        "not even that": lambda answer: [],
    }
    before = await facts(a)
    for what, lie in lies.items():
        liar = lying(b, send_join=edited(lie))
        reply = await alice.post(f"/join/{room}", {}, server_name=["b"])
        assert reply.status in (400, 403, 404, 502), what
        assert await facts(a) == before, what
        assert len(liar.asked) <= 6, what
    assert version.id == "11"


@story
async def test_a_room_with_thousands_of_events_that_do_not_belong(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(bob, version="11")
    version = await version_of(b, room)
    odd = [{"type": "m.x"}, 5, None, {}, {"room_id": room}] * 1000
    ring = [made_up(b, version, room, bob.user_id, 5, [NOWHERE], [NOWHERE[:-4] + f"{number:04}"], str(number)) for number in range(100)]
    liar = lying(b, send_join=edited(lambda answer: answer | {"auth_chain": [*odd, *answer["auth_chain"], *ring]}))
    good(await alice.post(f"/join/{room}", {}, server_name=["b"]))
    network.servers["b"] = b
    shown = await a.server.database.read(
        lambda txn: txn.value("SELECT COUNT(*) FROM events WHERE status IN (1, 2) AND type = 'm.room.message'")
    )
    assert shown == 0 and len(liar.asked) <= 6
    await says(bob, room, "hello")
    await settled(network)
    assert await heard(alice, room) == ["hello"]


@story
async def test_authority_in_a_circle(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(bob, version="1")
    version = await version_of(b, room)

    def topic(number: int) -> PDU:
        return {
            "type": "m.x", "state_key": str(number), "sender": bob.user_id, "content": {}, "room_id": room, "depth": 5,
            "origin_server_ts": 5, "event_id": f"$circle{number}:b", "prev_events": [],
            "auth_events": [[f"$circle{(number + 1) % 3}:b", {}]],
        }  # fmt: skip

    circle = [signed(b, version, topic(number)) for number in range(3)]
    liar = lying(
        b, send_join=edited(lambda answer: answer | {"auth_chain": [*circle, *answer["auth_chain"]], "state": [*answer["state"], *circle]})
    )
    reply = await alice.post(f"/join/{room}", {}, server_name=["b"])
    assert reply.status == 200 or reply.status in (400, 403, 404, 502)
    assert len(liar.asked) <= 6
    shown = await a.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM current_state WHERE type = 'm.x'"))
    assert shown == 0


@story
async def test_a_room_does_not_change_its_version_while_we_are_away(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(bob, alice, version="10")
    good(await alice.post(f"/rooms/{room}/leave", {}))
    await settled(network)
    before = await facts(a)
    version = versions.get("11")
    create = {
        "type": "m.room.create", "state_key": "", "sender": bob.user_id, "content": {"room_version": "11"}, "room_id": room, "depth": 1,
        "origin_server_ts": 5, "prev_events": [], "auth_events": [],
    }  # fmt: skip
    first = signed(b, version, create)
    first_id = id_of(version, first)
    join = {"type": "m.room.member", "state_key": bob.user_id, "content": {"membership": "join"}, "depth": 2}
    member = signed(b, version, create | join | {"prev_events": [first_id], "auth_events": [first_id]})
    cited = {"prev_events": [id_of(version, member)], "auth_events": [first_id, id_of(version, member)], "depth": 3}
    rules = signed(b, version, create | {"type": "m.room.join_rules", "content": {"join_rule": "public"}} | cited)
    state = [first, member, rules]

    def template(answer: Any) -> Any:
        ids = {"prev_events": [id_of(version, rules)], "auth_events": [id_of(version, one) for one in (first, rules)]}
        return {"room_version": "11", "event": {**answer["event"], **ids}}

    lying(b, make_join=edited(template), send_join=answers({"state": state, "auth_chain": state, "members_omitted": False}))
    reply = await alice.post(f"/join/{room}", {}, server_name=["b"])
    assert reply.status >= 400
    assert await facts(a) == before


# --- gaps ------------------------------------------------------------------------------------------------------


@story
async def test_a_past_without_end_costs_little(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    version = await version_of(b, room)
    auth = (await liars.event(bob, room, "m.room.message", {}))["auth_events"]
    numbers = itertools.count()

    def another(*prev: str) -> PDU:
        return made_up(b, version, room, bob.user_id, 2**40 - next(numbers), prev or [NOWHERE[:-9] + f"{next(numbers):09}"], auth, "no end")

    def chain(request: Request, _: Response) -> Response:
        found = [another()]
        for _ in range(30):
            found.append(another(id_of(version, found[-1])))
        return Response(200, {}, orjson.dumps({"events": found, "pdus": found, "auth_chain": found}))

    def state_ids(_: Request, __: Response) -> Response:
        return Response(200, {}, orjson.dumps({"pdu_ids": [NOWHERE[:-9] + f"{n:09}" for n in range(5000)], "auth_chain_ids": []}))

    liar = lying(b, get_missing_events=chain, state_ids=state_ids, backfill=chain, event_auth=chain)
    liar.lies["/event/"] = liar.lies["/state/"] = answers({"errcode": "M_NOT_FOUND", "error": "x"}, 404)
    before = await facts(a)
    for number in range(3):
        await send(b, a, another(), txn=str(number))
    assert await facts(a) == before
    assert len(liar.asked) <= 3 * 400
    network.servers["b"] = b
    await says(alice, room, "still here")
    await settled(network)
    assert await heard(bob, room) == ["still here"]


@story
async def test_a_state_that_is_a_lie(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await shared_room(alice, bob, carol, version="11")
    other = await shared_room(bob, alice, version="11")
    version = await version_of(b, room)
    foreign = await liars.event(bob, other, "m.room.power_levels", {"users": {bob.user_id: 100}}, "")
    mighty = await liars.event(bob, room, "m.room.power_levels", {"users": {bob.user_id: 100}}, "")
    known = await b.server.database.read(
        lambda txn: [id_ for (id_,) in txn.all("SELECT event_id FROM current_state WHERE room_id = :r", r=room)]
    )
    state = {"pdu_ids": [*known, id_of(version, foreign), id_of(version, mighty)], "auth_chain_ids": []}
    liar = lying(b, get_missing_events=answers({"events": []}, 500), state_ids=answers(state))
    liar.lies["/state/"] = answers({"pdus": [foreign, mighty], "auth_chain": [foreign]})
    liar.lies["/event/"] = answers({"pdus": [mighty]})
    ban = await liars.event(bob, room, "m.room.member", {"membership": "ban"}, carol.user_id, prev_events=[NOWHERE])
    before = await facts(a)
    await send(b, a, ban)
    after = await facts(a)
    assert after["members"] == before["members"] and after["state"] == before["state"]
    assert len(liar.asked) <= 40


@story
async def test_a_history_that_is_a_lie(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await bob.post("/createRoom", {"preset": "public_chat", "room_version": "11"}))["room_id"]
    other = await shared_room(bob, alice, version="11")
    version = await version_of(b, room)
    for number in range(3):
        await says(bob, room, f"old {number}")
    good(await alice.post(f"/join/{room}", {}, server_name=["b"]))
    await settled(network)
    foreign = await liars.event(bob, other, "m.room.message", {"body": "foreign"})
    forged = (await liars.event(bob, room, "m.room.message", {"body": "forged"})) | {"signatures": {}}
    stranger = made_up(b, version, room, "@nobody:b", 3, [NOWHERE], [NOWHERE], "stranger")
    ours = await liars.event(bob, room, "m.room.message", {"body": "in your name"}, sender=alice.user_id)
    power = await liars.event(bob, room, "m.room.power_levels", {"users": {"@eve:b": 100}, "users_default": 100}, "", depth=1)
    lies = [foreign, forged, stranger, ours, power, 5, {}, None]

    def add(answer: Any) -> Any:
        return answer | {"pdus": [*lies, *answer["pdus"], *answer["pdus"][:1]]}

    liar = lying(b, backfill=edited(add))
    before = await facts(a)
    page = good(await alice.get(f"/rooms/{room}/messages", dir="b", limit=100))["chunk"]
    bodies = [event["content"].get("body") for event in page if event["type"] == "m.room.message"]
    assert not {"foreign", "forged", "stranger", "in your name"} & set(bodies) and "old 1" in bodies
    after = await facts(a)
    assert after["state"] == before["state"] and after["members"] == before["members"]
    assert len(liar.asked) <= 20


@story
async def test_many_ends_do_not_slow_a_room_down(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    version = await version_of(b, room)
    first = await liars.event(bob, room, "m.room.message", {"body": "x"})
    for batch in range(6):
        pdus = [
            made_up(b, version, room, bob.user_id, first["depth"], first["prev_events"], first["auth_events"], f"{batch} {number}")
            for number in range(50)
        ]
        await send(b, a, *pdus, txn=str(batch))
    heads = await a.server.database.read(lambda txn: orjson.loads(txn.value("SELECT heads FROM rooms WHERE room_id = :r", r=room)))
    assert len(heads) <= 20
    await says(alice, room, "hello")
    await settled(network)
    assert (await heard(bob, room, 500))[-1] == "hello"


# --- keys ------------------------------------------------------------------------------------------------------


@story
async def test_keys_of_others_are_not_a_server_s_to_give(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    pdu = await liars.event(bob, room, "m.room.message", {"body": "x"})
    evil = Identity(b.name, Key.of_seed("ed25519:evil", b"evil".ljust(32, b"-")))
    document = key_documents.publish(evil, network.clock.now() + 10**9)
    others = key_documents.publish(Identity(c.name, evil.key), network.clock.now() + 10**9)
    for lie in (
        others,
        document | {"signatures": {}},
        document | {"valid_until_ts": 2**70},
        [],
        {"server_keys": []},
        document | {"verify_keys": 5},
    ):
        lying(c, key=answers(lie))
        before = await facts(a)
        forged = evil.sign_event(await version_of(a, room), {key: value for key, value in pdu.items() if key != "signatures"})
        await send(b, a, forged, txn=str(lie)[:20])
        assert await facts(a) == before


@pytest.mark.parametrize("version", ["nonsense", "1"])
def test_templates_have_a_shape(version: str) -> None:
    assert Template({}, version).room_version == version
