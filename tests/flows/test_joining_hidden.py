"""Who may not know of a room gets, byte for byte, the answers about a room that never was.  FLOWS: "Private = non-existent".

`pytest -s` prints how long each kind of question took about either.
"""

import re
import secrets
from dataclasses import replace

import pytest

from homeserver.events.versions import SWARM, RoomVersion
from tests.flows.asking import VERSION, About, Asker, Told, endpoints
from tests.flows.joining import before, invites, joins, refusal, room_of, settled
from tests.hostile.rig import query_names
from tests.world import Home, Network, good, story

NO_ROOMS = {"event_format", "event_fields"}
MESSAGE = {"msgtype": "m.text", "body": "secret"}


async def hidden_room(network: Network, home: Home, version: RoomVersion) -> About:
    """A closed room that people talk in, with an alias."""
    alice = await home.user("alice", "ALICEPHONE")
    room = await room_of(alice, room_version=version.id, name="secret", room_alias_name="secret")
    event = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", MESSAGE))["event_id"]
    return About(room, event, f"#secret:{home.name}", version)


async def absent_room(home: Home, like: About) -> About:
    """A room that never was, with an alias that leads to it."""
    own, colon, server = like.room.partition(":")
    room = "!" + secrets.token_hex(30)[: len(own) - 1] + colon + server
    alias = f"#absent:{home.name}"
    sql = "INSERT INTO aliases (alias, room_id, creator, created_ts) VALUES (:alias, :room, :creator, 0)"
    await home.server.database.write(lambda txn: txn.run(sql, alias=alias, room=room, creator=f"@alice:{home.name}"))
    return About(room, "$" + secrets.token_urlsafe(32), alias, like.version)


@story
async def test_no_endpoint_is_forgotten_that_names_a_room_an_event_or_an_alias(network: Network) -> None:
    a = network.server("a")
    about = About("!r", "$e", "#a")
    asker = Asker(network, await a.user("alice"), a)
    known = asker.in_path(about).keys() | asker.in_query(about, ["b"]).keys()
    named = {part[1:-1] for one in endpoints(a) for part in one.route.path.split("/") if part.startswith("{")}
    named |= {name for one in endpoints(a) for name in query_names(one)}
    assert {name for name in named if re.search("room|event|alias|root", name)} <= known | NO_ROOMS


def differences(path: str, real: Told, none: Told) -> list[str]:
    found = []
    if real.answer != none.answer:
        found.append(f"{path}: answers\n    hidden {real.answer}\n    absent {none.answer}")
    if real.others != none.others:
        found.append(f"{path}: other servers\n    hidden {real.others}\n    absent {none.others}")
    if real.statements != none.statements:
        hidden, absent = ["\n        ".join(one.statements) for one in (real, none)]
        found.append(f"{path}: statements\n    hidden\n        {hidden}\n    absent\n        {absent}")
    return found


@pytest.mark.parametrize("via", [[], ["c", "d"]], ids=["without via", "with via"])
@pytest.mark.parametrize("who", ["user", "server"])
@pytest.mark.parametrize("version", [VERSION, SWARM], ids=["room", "swarm"])
@story
async def test_nobody_can_tell_a_hidden_room_from_none(network: Network, version: RoomVersion, who: str, via: list[str]) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    real = await hidden_room(network, a, version)
    none = await absent_room(a, real)
    where = a if who == "user" else b
    askers = [Asker(network, await where.user(name), a) for name in ("qfirst", "qother")]
    first = Asker(network, await where.user("qbefore"), a)
    nowhere = About("!" + "n" * 30 + (":a" if ":" in real.room else "n" * 13), "$" + "n" * 43, "#nowhere:a", version)
    wrong: list[str] = []
    times: dict[str, tuple[float, float]] = {}
    asked = 0
    for endpoint in endpoints(a):
        if endpoint.origin != (who == "server") or not askers[0].is_about(endpoint, real, none):
            continue
        asked += 1
        await first.ask(endpoint, nowhere, via)  # what is remembered of other servers is remembered by now
        path = f"{endpoint.route.method} {endpoint.route.path}"
        # Both have asked once before: what is remembered of who asks is remembered of both.
        warm = [await asker.ask(endpoint, about, via) for asker, about in zip(askers, (real, none), strict=True)]
        again = [replace(asker, turn=1) for asker in askers]
        told = [await asker.ask(endpoint, about, via) for asker, about in zip(again, (real, none), strict=True)]
        wrong += differences(path, warm[0], warm[1]) or differences(f"{path} (again)", told[0], told[1])
        times[path] = (told[0].seconds, told[1].seconds)
    for path, (first, second) in sorted(times.items()):
        print(f"{1000 * first:7.2f} ms hidden {1000 * second:7.2f} ms absent  {path}")
    print(f"{asked} endpoints asked by a strange {who}")
    assert asked > (80 if who == "user" else 20)
    assert c.name == "c"
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


@story
async def test_what_somebody_says_who_came_in_just_now_is_not_lost(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await room_of(alice, carol)
    await joins(carol, room)
    await settled(network)
    # c hears neither of the invite nor of the join for a while: to b, the room is none of its business.
    deaf = before(network, c, lambda request: refusal(500, "M_UNKNOWN") if "X-Matrix origin=\"a\"" in str(request.headers) else None)
    good(await invites(alice, room, bob))
    await joins(bob, room)
    good(await bob.put(f"/rooms/{room}/send/m.room.message/1", MESSAGE))
    await settled(network, 1)
    assert any("/send/" in path for path in deaf.asked)
    network.servers["c"] = c
    await c.server.federation.peers.version(a.name)
    await settled(network, 120)
    said = good(await carol.get(f"/rooms/{room}/messages", dir="b"))["chunk"]
    assert MESSAGE in [event["content"] for event in said]
