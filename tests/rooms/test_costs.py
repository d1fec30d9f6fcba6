"""What reading much at once costs: statements, and how often somebody looks into an event.

These numbers are promises; a time is never tested.
"""

from tests.docs.pages import Hop
from tests.docs.trace import Trace, traced
from tests.world import Client, Network, good, story

HELLO = {"msgtype": "m.text", "body": "hello"}
DECODED, OPENED = Hop("events/event.py", "stored"), Hop("storage/lines.py", "Line.content")


def looked_into(trace: Trace) -> int:
    """How many events were decoded, whole or in part."""
    return trace.calls.count(DECODED) + trace.calls.count(OPENED)


async def spoken(owner: Client, other: Client, messages: int) -> str:
    """A room in which that was said."""
    room: str = good(await owner.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await other.post(f"/join/{room}", {}))
    for number in range(messages):
        good(await owner.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))
    return room


@story
async def test_a_page_of_messages_is_shown_without_looking_into_them(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await spoken(alice, bob, 100)
    good(await bob.get(f"/rooms/{room}/messages", dir="b", limit="10"))
    for limit, sender in (("20", bob), ("100", bob), ("100", alice)):
        with traced(a.server.database) as trace:
            page = good(await sender.get(f"/rooms/{room}/messages", dir="b", limit=limit))
        assert len(page["chunk"]) == int(limit) and all(event["unsigned"]["membership"] == "join" for event in page["chunk"])
        assert looked_into(trace) == 0
        assert (trace.reads, trace.acts) == (1, 0) and trace.statements <= 7


@story
async def test_states_that_come_one_after_the_other_are_looked_up_once(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await spoken(alice, bob, 0)
    for number in range(30):
        good(await alice.put(f"/rooms/{room}/state/m.room.topic", {"topic": str(number)}))
    with traced(a.server.database) as trace:
        page = good(await bob.get(f"/rooms/{room}/messages", dir="b", limit="30"))
    assert [event["content"]["topic"] for event in page["chunk"]] == [str(number) for number in reversed(range(30))]
    assert [event["unsigned"]["prev_content"]["topic"] for event in page["chunk"][:-1]] == [str(n) for n in reversed(range(29))]
    assert trace.calls.count(Hop("storage/state.py", "view")) == 1


@story
async def test_a_page_says_what_the_viewer_was_at_each_of_its_events(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    said = []
    for step in (None, "join", "leave", "join"):
        if step is not None:
            good(await bob.post(f"/rooms/{room}/{step}", {}))
            said.append((step, step))
        event = good(await alice.put(f"/rooms/{room}/send/m.room.message/{len(said)}", HELLO))["event_id"]
        said.append((event, step or "leave"))
    for way in "fb":
        page = good(await bob.get(f"/rooms/{room}/messages", dir=way, limit="100"))["chunk"]
        oldest_first = page[::-1] if way == "b" else page
        shown = {event["content"].get("membership", event["event_id"]): event["unsigned"]["membership"] for event in oldest_first}
        assert {name: shown[name] for name, _ in said} == dict(said)
