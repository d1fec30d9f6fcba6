"""Holders that lie, stall, trickle and send for ever, and people who want files that are not for them."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from homeserver.settings import Media, Size
from homeserver.settings import Swarm as Rules
from homeserver.swarm.files import announcing, fetching, serving, shelf, upkeep, waiting
from homeserver.web.types import Request, Response
from tests.flows.swarming import Swarm, person, swarm
from tests.flows.test_swarm_files import CONTENT, asked, asks, brings, has, rows, tells
from tests.world import FOLDER, Home, Network, good, story

SHA3 = hashlib.sha3_512(CONTENT).hexdigest()
Answer = Callable[[int], Response]


@dataclass
class Crooked:
    """A server of which the requests for files come to something else."""

    home: Home
    answer: Answer
    starts: list[int]

    async def respond(self, request: Request) -> Response:
        if "/files/" not in request.path or "/federation/" not in request.path:
            return await self.home.respond(request)
        start = int(request.headers["range"].removeprefix("bytes=").rstrip("-"))
        self.starts.append(start)
        return self.answer(start)


def crooked(network: Network, name: str, answer: Answer) -> list[int]:
    """From where on the server is asked for files, from now on."""
    home = network.servers[name]
    found = Crooked(home.home if isinstance(home, Crooked) else home, answer, [])
    network.servers[name] = found  # type: ignore[assignment]
    return found.starts


def honest(network: Network, name: str) -> None:
    """The server is itself again."""
    home = network.servers[name]
    network.servers[name] = home.home if isinstance(home, Crooked) else home  # type: ignore[unreachable]


def sends(body: Any, size: int = len(CONTENT)) -> Answer:
    """An answer that looks right, with any body: a function of where it starts."""

    def answer(start: int) -> Response:
        headers = {"content-range": f"bytes {start}-{size - 1}/{size}", "content-length": str(size - start)}
        return Response(206, headers, body(start))

    return answer


def wrong(start: int) -> bytes:
    return bytes(len(CONTENT) - start)


async def in_pieces(content: bytes, network: Network, pause: float, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        if pause:
            await network.clock.sleep(pause)
        yield content[at : at + size]


async def breaks(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise fetching.Nonsense("holder", "went away")


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(100_000)


async def three(network: Network) -> tuple[Swarm, str]:
    """A file at Alice's and Bob's servers, which Carla has not asked for."""
    group = await swarm(network, "alice", "bob", "carla")
    event = await brings(group, "alice")
    good(await group["bob"].post(f"{group.path}/files", CONTENT))
    await group.settles()
    return group, event


@story
async def test_who_gives_other_bytes_is_not_asked_again_and_another_is(network: Network) -> None:
    group, event = await three(network)
    network.down.add("b")
    starts = crooked(network, "a", sends(wrong))
    assert not await has(group, "carla", event)
    await group.settles(300)
    assert starts == [0], "once was enough"
    network.down.clear()
    await group.says("bob", "I am back")
    await group.settles(600)
    assert await has(group, "carla", event)
    assert await rows(network.servers["c"], "swarm_liars") == 0, "it is over"


@story
async def test_of_bytes_of_two_nobody_knows_whose_are_wrong_so_one_gives_it_all(network: Network) -> None:
    group, event = await three(network)
    starts = crooked(network, "a", sends(lambda start: breaks(bytes(300_000)) if start == 0 else wrong(start)))
    network.latency = 0.05
    assert not await has(group, "carla", event)
    await group.settles(300)
    assert await has(group, "carla", event)
    assert starts and set(starts) <= {0, 300_000}


@story
async def test_with_only_liars_nothing_comes_and_nothing_stays_on_the_disk(network: Network) -> None:
    group, event = await three(network)
    crooked(network, "a", sends(wrong))
    crooked(network, "b", sends(wrong))
    assert not await has(group, "carla", event)
    await group.settles(900)
    reply = await asks(group, "carla", event)
    assert (reply.status, reply.json["received"]) == (202, 0)
    carla = network.servers["c"]
    assert await rows(carla, "swarm_liars") == 2
    before = asked(network, "a") + asked(network, "b")
    await group.settles(3600)
    assert asked(network, "a") + asked(network, "b") == before
    # Who does not want it any more need not remember them.
    good(await group["carla"].delete(f"{group.path}/files/{event}"))
    await group.settles(4000)
    assert await rows(carla, "swarm_liars") == 0


@pytest.mark.parametrize(
    "answer",
    [
        lambda start: Response(404, {}, b"{}"),
        lambda start: Response(500, {}, b"oops"),
        lambda start: Response(200, {"content-length": "5"}, b"12345"),
        lambda start: Response(206, {"content-range": f"bytes 0-{2**40}/{2**40 + 1}"}, endless()),
        lambda start: Response(206, {"content-range": "bytes 10-1023999/1024000"}, CONTENT[10:]),
        lambda start: Response(206, {"content-range": "bytes 0-1023999/*"}, CONTENT),
        lambda start: Response(206, {}, CONTENT),
        lambda start: Response(302, {"location": "http://127.0.0.1/"}, b""),
        sends(lambda start: endless()),
        sends(lambda start: b""),
    ],
)
@story
async def test_nonsense_costs_nothing_and_the_next_one_is_asked(network: Network, answer: Answer) -> None:
    group, event = await three(network)
    crooked(network, "a", answer)
    network.latency = 0.05
    assert not await has(group, "carla", event)
    await group.settles(120)
    assert await has(group, "carla", event)


@story
async def test_one_that_never_answers_keeps_nobody_waiting(network: Network) -> None:
    group, event = await three(network)
    network.silent.add("a")
    network.latency = 0.05
    began = network.reactor.seconds()
    assert (await asks(group, "carla", event, timeout=5000)).raw == CONTENT
    assert network.reactor.seconds() - began < 1
    assert asked(network, "a") == 1


@story
async def test_one_that_answers_and_then_says_nothing_costs_its_silence_once(network: Network) -> None:
    group, event = await three(network)
    stalls = crooked(network, "a", sends(lambda start: in_pieces(CONTENT[start:], network, 40.0, 300_000)))
    assert not await has(group, "carla", event)
    await group.settles(200)
    assert await has(group, "carla", event)
    assert len(stalls) <= 2


@story
async def test_who_trickles_gives_up_its_place_to_one_who_goes_on_from_there(network: Network) -> None:
    group, event = await three(network)
    crooked(network, "a", sends(lambda start: in_pieces(CONTENT[start:], network, 1.0)))
    starts = crooked(network, "b", sends(lambda start: CONTENT[start:]))
    network.down.add("b")
    assert not await has(group, "carla", event)
    await group.settles(10)
    network.down.clear()
    await group.settles(60)
    assert await has(group, "carla", event)
    assert starts and starts[0] >= 20_000, "what came slowly was not lost"


@story
async def test_what_breaks_off_again_and_again_is_put_together(network: Network) -> None:
    group, event = await three(network)
    network.down.add("b")
    starts = crooked(network, "a", sends(lambda start: breaks(CONTENT[start : start + 200_000])))
    assert not await has(group, "carla", event)
    await group.settles(600)
    assert starts == [0, 200_000, 400_000, 600_000, 800_000, 1_000_000]
    assert await has(group, "carla", event)


@story
async def test_a_restart_in_the_midst_of_it_goes_on_from_there(network: Network) -> None:
    group, event = await three(network)
    network.down.add("b")
    crooked(network, "a", sends(lambda start: in_pieces(CONTENT[start:], network, 0.5, 100_000)))
    assert not await has(group, "carla", event)
    await group.settles(4)
    carla = network.servers["c"]
    await carla.server.things.waiting.stop()
    reply = await asks(group, "carla", event)
    assert 0 < reply.json["received"] < len(CONTENT)
    starts = crooked(network, "a", sends(lambda start: CONTENT[start:]))
    network.restart(carla)
    await group.settles(5)
    assert starts == [reply.json["received"]]
    assert (await asks(replace(group, people={"carla": await network.servers["c"].user("carla", "NEW")}), "carla", event)).raw == CONTENT


# --- who may have it ------------------------------------------------------------------------------------------------------------------


@story
async def test_knowing_a_hash_is_not_having_the_file(network: Network) -> None:
    """Mallory knows the hash of a file of a room she is not in, and names it in one of her own, on the same server and from another."""
    group = await swarm(network, "alice", "bob")
    await brings(group, "alice")
    there = await swarm(network, "bob", "alice", "mallory")
    for name in ("bob", "mallory"):
        event = await tells(there, name, {"tid": "x", "displayName": "x", "totalSize": len(CONTENT), "sha3sum": SHA3})
        await there.settles()
        for who in ("alice", "bob", "mallory"):
            assert not await has(there, who, event)
        await there.settles(600)
        for who in ("alice", "bob", "mallory"):
            assert not await has(there, who, event)


@story
async def test_only_members_get_files_and_only_of_events_that_they_see(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    olga = await network.servers["a"].user("olga")
    group.people["olga"] = olga
    assert (await asks(group, "olga", event)).status == 404
    assert (await olga.post(f"{group.path}/files", b"x")).status == 404
    assert (await olga.delete(f"{group.path}/files/{event}")).status == 404
    assert (await asks(group, "bob", "$nothing")).status == 404
    said = good(await group.says("alice", "no file"))["event_id"]
    assert (await asks(group, "alice", said)).status == 404
    good(await group["bob"].post(f"/rooms/{group.room}/leave"))
    await group.settles()
    assert (await asks(group, "bob", event)).status == 403
    ordinary = good(await olga.post("/createRoom", {}))["room_id"]
    assert (await olga.post(group.path.replace(group.room, ordinary) + "/files", b"x")).status == 400


@story
async def test_a_redacted_event_names_no_file_and_what_nobody_names_goes(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "UNNAMED_MS", 1200 * 1000)
    monkeypatch.setattr(upkeep, "HOURLY_SECONDS", 300.0)
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    assert (await asks(group, "bob", event, timeout=5000)).status == 200
    good(await group["alice"].put(f"/rooms/{group.room}/redact/{event}/1", {}))
    await group.settles()
    for name in ("alice", "bob"):
        assert (await asks(group, name, event)).status == 404
    unnamed = good(await group["bob"].post(f"{group.path}/files", b"unnamed"))
    assert unnamed["totalSize"] == 7
    await group.settles(1000)
    assert await rows(network.servers["b"], "swarm_files") == 2, "an event may still come"
    await group.settles(600)
    assert await rows(network.servers["b"], "swarm_files") == 0


async def signed(network: Network, name: str, group: Swarm, event: str) -> int:
    """What Alice's server answers another that asks for a file."""
    peers = network.servers[name].server.federation.peers
    stream = await peers.file(network.servers["a"].name, group.room, event, 0, len(CONTENT))
    await stream.close()
    return stream.status


@story
async def test_servers_get_what_is_named_in_rooms_that_they_are_in(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    await person(network, "mallory")
    assert await signed(network, "b", group, event) == 200
    assert await signed(network, "b", group, "$other") == 404
    assert await signed(network, "m", group, event) == 404
    good(await group["bob"].post(f"/rooms/{group.room}/leave"))
    await group.settles()
    assert await signed(network, "b", group, event) == 404
    open_one = await swarm(network, "alice", mode=3, preset="public_chat")
    event = await brings(open_one, "alice")
    assert await signed(network, "m", open_one, event) == 404, "to know of a room is not to be in it"


@story
async def test_a_server_that_the_room_denies_gives_and_gets_nothing(network: Network) -> None:
    group = await swarm(network, "alice", "bob", "carla")
    event = await brings(group, "alice")
    good(await group["alice"].put(f"/rooms/{group.room}/state/m.room.server_acl", {"allow": ["*"], "deny": ["b"]}))
    await group.settles()
    assert await signed(network, "b", group, event) == 403
    event = await brings(group, "carla", b"of Carla")
    before = asked(network, "b")
    network.down.add("c")
    assert not await has(group, "alice", event, b"of Carla")
    await group.settles(60)
    assert asked(network, "b") == before


# --- how much -------------------------------------------------------------------------------------------------------------------------


def named(number: int, size: int) -> dict[str, Any]:
    return {"tid": f"{number}", "displayName": "x", "totalSize": size, "sha3sum": f"{number:0128x}"}


@story
async def test_what_is_waited_for_is_bounded(network: Network) -> None:
    network.server("b", swarm=Rules(waiting_of_user=Size(1000), waiting=Size(1500)))
    group = await swarm(network, "alice", "bob")
    ben = group.people["ben"] = await network.servers["b"].user("ben", "BEN")
    good(await group["bob"].post(f"/rooms/{group.room}/invite", {"user_id": ben.user_id}))
    good(await ben.post(f"/join/{group.room}"))
    large, more, little = [await tells(group, "alice", named(number, size)) for number, size in enumerate((900, 700, 1))]
    huge = await tells(group, "alice", named(9, 2**40))
    await group.settles()
    assert (await asks(group, "bob", large)).status == 202
    assert (await asks(group, "bob", large)).status == 202, "the same again is nothing more"
    assert (await asks(group, "bob", more)).status == 429, "too much of one user"
    assert (await asks(group, "bob", little)).status == 202
    assert (await asks(group, "ben", more)).status == 429, "too much of all"
    assert (await asks(group, "ben", little)).status == 202
    assert (await asks(group, "bob", huge)).status == 413


@story
async def test_what_nobody_gives_is_given_up_in_time(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "KEPT_MS", 600 * 1000)
    group = await swarm(network, "alice")
    event = await tells(group, "alice", named(1, 1))
    assert (await asks(group, "alice", event)).status == 202
    await group.settles(1000)
    assert await rows(network.servers["a"], "swarm_wanted") == 0


@story
async def test_one_user_waits_for_a_hundred_files_at_most(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_OF_USER", 3)
    group = await swarm(network, "alice")
    events = [await tells(group, "alice", named(number, 1)) for number in range(4)]
    assert [(await asks(group, "alice", event)).status for event in events] == [202, 202, 202, 429]


@story
async def test_a_wrong_size_keeps_nobody_from_the_file(network: Network) -> None:
    """Mallory says that a file is smaller, or larger, than it is, and asks for it first."""
    group = await swarm(network, "alice", "bob")
    mallory = group.people["mallory"] = await network.servers["b"].user("mallory", "MALLORY")
    good(await group["bob"].post(f"/rooms/{group.room}/invite", {"user_id": mallory.user_id}))
    good(await mallory.post(f"/join/{group.room}"))
    event = await brings(group, "alice")
    network.down.add("a")
    for size in (5, len(CONTENT) + 5):
        lie = await tells(group, "mallory", {"tid": "x", "displayName": "x", "totalSize": size, "sha3sum": SHA3})
        assert not await has(group, "mallory", lie)
    await group.settles()
    assert not await has(group, "bob", event)
    network.down.clear()
    await group.settles(120)
    assert await has(group, "bob", event)
    assert (await asks(group, "mallory", lie)).raw == CONTENT, "it is the same file, whatever she said of it"
    assert await rows(network.servers["b"], "swarm_wanted") == 0


@story
async def test_uploads_are_bounded_and_a_full_disk_is_said(network: Network) -> None:
    media = Media(path=Path(FOLDER.name), max_upload=Size(1000), max_per_user=Size(1500))
    network.server("a", media=media)
    network.server("b", swarm=Rules(kept_free=Size(2**60)))
    group = await swarm(network, "alice", "bob")
    assert (await group["alice"].post(f"{group.path}/files", bytes(1001))).status == 413
    good(await group["alice"].post(f"{group.path}/files", b"1" * 1000))
    reply = await group["alice"].post(f"{group.path}/files", b"2" * 1000)
    assert (reply.status, reply.json["errcode"]) == (403, "M_FORBIDDEN")
    reply = await group["bob"].post(f"{group.path}/files", b"3")
    assert (reply.status, reply.json["errcode"]) == (507, "M_RESOURCE_LIMIT_EXCEEDED")
    event = await brings(group, "alice", b"4" * 400)
    assert not await has(group, "bob", event)
    await group.settles(700)
    assert not await has(group, "bob", event)
    assert asked(network, "a") == 0, "nobody is asked for what there is no room for"


@story
async def test_a_server_reads_a_few_files_at_once(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    peers, a = network.servers["b"].server.federation.peers, network.servers["a"].name
    streams = [await peers.file(a, group.room, event, 0, len(CONTENT)) for _ in range(serving.AT_ONCE_OF_SERVER + 1)]
    assert [stream.status for stream in streams] == [200] * serving.AT_ONCE_OF_SERVER + [429]
    for stream in streams:
        await anext(aiter(stream.chunks))
        await stream.close()


@pytest.mark.parametrize(
    "change",
    [
        {"sha3sum": "../../../etc/passwd"},
        {"sha3sum": SHA3.upper()},
        {"sha3sum": SHA3[:-1]},
        {"totalSize": -1},
        {"totalSize": "5"},
        {"totalSize": True},
        {"displayName": ""},
        {"path": "/etc/passwd"},
    ],
)
@story
async def test_names_that_are_none_never_enter_the_room(network: Network, change: dict[str, Any]) -> None:
    group = await swarm(network, "alice")
    content = {"tid": "x", "displayName": "../../x", "totalSize": 5, "sha3sum": SHA3, **change}
    reply = await group["alice"].put(f"/rooms/{group.room}/send/org.homeserver.file/1", content)
    assert reply.status in (400, 403), reply[:2]


@story
async def test_a_name_with_a_path_is_a_name(network: Network) -> None:
    group = await swarm(network, "alice")
    event = await brings(group, "alice", b"x", displayName="../../etc/passwd", mimetype="text/html")
    reply = await asks(group, "alice", event)
    assert reply.headers["content-disposition"] == "attachment; filename=passwd"
    assert reply.headers["x-content-type-options"] == "nosniff" and "sandbox" in reply.headers["content-security-policy"]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"room_id": 5, "sha3sum": SHA3},
        {"room_id": "!nowhere", "sha3sum": SHA3},
        {"room_id": "x", "sha3sum": SHA3},
        {"room_id": "!r:b", "sha3sum": "../x"},
        {"room_id": "!r:b", "sha3sum": ["x"]},
    ],
)
@story
async def test_what_servers_say_of_files_may_be_anything(network: Network, content: dict[str, Any]) -> None:
    home = network.server("a")
    await home.server.things.waiting.receive(home.name, content)


@story
async def test_a_server_that_is_not_in_the_room_does_not_hurry_anybody(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await tells(group, "alice", named(1, 5))
    await group.settles()
    await person(network, "mallory")
    assert not await has(group, "bob", event)
    await group.settles(200)
    before, waits = len(network.log), network.servers["b"].server.things.waiting
    for _ in range(300):
        await waits.receive(network.servers["m"].name, {"room_id": group.room, "sha3sum": f"{1:0128x}"})
    assert len(network.log) == before
    for _ in range(300):
        await waits.receive(network.servers["a"].name, {"room_id": group.room, "sha3sum": f"{1:0128x}"})
        await network.passes(0.001)
    assert len(network.log) - before <= waiting.RATES[announcing.EDU].burst


@story
async def test_forbidden_content_is_not_kept_and_not_given(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    digest = hashlib.sha256(CONTENT).hexdigest()

    def forbid(txn: Any) -> None:
        txn.run("INSERT INTO media_forbidden (digest, by_user, created_ts) VALUES (:digest, '@admin:b', 0)", digest=digest)

    await network.servers["b"].server.database.write(forbid)
    assert not await has(group, "bob", event)
    await group.settles(60)
    assert not await has(group, "bob", event)
    assert (await group["bob"].post(f"{group.path}/files", CONTENT)).status == 403
    await network.servers["a"].server.database.write(forbid)
    assert (await asks(group, "alice", event)).status == 404
    assert await signed(network, "b", group, event) == 404


@story
async def test_a_file_whose_bytes_are_gone_from_the_disk_can_be_had_again(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice", b"will be gone")
    assert (await asks(group, "bob", event, timeout=5000)).status == 200
    held = shelf.Held(group.room, hashlib.sha3_512(b"will be gone").hexdigest(), "0" * 64, 12, None, 0, 0)  # type: ignore[arg-type]

    def points_nowhere(txn: Any) -> None:
        txn.run("UPDATE swarm_files SET digest = :digest", digest=held.digest)

    await network.servers["b"].server.database.write(points_nowhere)
    assert (await asks(group, "bob", event)).status == 404
    assert (await asks(group, "bob", event, timeout=5000)).raw == b"will be gone"
