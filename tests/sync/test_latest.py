"""The end of a room's timeline is kept in memory for as long as the room looks as it did: whatever happens, nobody is told what was."""

from tests.docs.pages import Hop
from tests.docs.trace import traced
from tests.world import Client, Network, good, story

HELLO = {"msgtype": "m.text", "body": "hello"}
READ = Hop("storage/windows.py", "newest")


async def told(client: Client, room: str) -> list[dict[str, object]]:
    """The timeline of an initial sync."""
    found: list[dict[str, object]] = good(await client.get("/sync"))["rooms"]["join"][room]["timeline"]["events"]
    return found


@story
async def test_what_somebody_has_read_is_told_to_others_without_reading_it_again(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}", {}))
    said = [good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))["event_id"] for number in range(12)]
    assert [event["event_id"] for event in await told(alice, room)] == said[-10:]
    with traced(a.server.database) as trace:
        shown = await told(bob, room)
    assert [event["event_id"] for event in shown] == said[-10:]
    assert not any("transaction_id" in event["unsigned"] for event in shown)  # type: ignore[operator]
    assert trace.statements <= 30 and Hop("storage/lines.py", "by_number") not in trace.calls


@story
async def test_redactions_edits_and_news_are_seen_at_once(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}", {}))
    first = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", HELLO))["event_id"]
    await told(bob, room)
    good(await alice.put(f"/rooms/{room}/redact/{first}/2", {}))
    assert [event["content"] for event in await told(bob, room) if event["event_id"] == first] == [{}]
    second = good(await alice.put(f"/rooms/{room}/send/m.room.message/3", HELLO))["event_id"]
    assert (await told(bob, room))[-1]["event_id"] == second
    edit = {**HELLO, "m.new_content": HELLO, "m.relates_to": {"rel_type": "m.replace", "event_id": second}}
    good(await alice.put(f"/rooms/{room}/send/m.room.message/4", edit))
    shown = await told(bob, room)
    assert "m.replace" in shown[-2]["unsigned"]["m.relations"]  # type: ignore[index]


@story
async def test_history_that_is_fetched_into_a_gap_comes_in_between(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    said = [good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))["event_id"] for number in range(6)]
    good(await bob.post(f"/join/{room}", via="a"))
    before = [event["event_id"] for event in await told(bob, room)]
    assert not set(said) & set(before)
    page = good(await bob.get(f"/rooms/{room}/messages", dir="b", limit="100"))["chunk"]
    assert set(said) <= {event["event_id"] for event in page}
    after = [event["event_id"] for event in await told(bob, room)]
    assert after == [event["event_id"] for event in page[:10]][::-1]
