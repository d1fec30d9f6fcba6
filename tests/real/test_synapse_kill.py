"""This server is killed in the middle of a conversation with a real Synapse: what either was told arrives, once."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

from tests.real.people import Person
from tests.real.processes import Program
from tests.real.sides import Sides, person

AFTER_A_LEASE = 60.0  # seconds: of several processes another one would go on sending only after the dead one's lease is over


def test_killed_while_the_other_speaks(ours: Program, synapse: Program) -> None:
    alice, bob = person(synapse, "alice"), person(ours, "bob")
    room = Sides(synapse, ours).meet(alice, bob)
    with ThreadPoolExecutor(1) as pool:
        speech = pool.submit(lambda: [speaks(alice, room, number) for number in range(120)])
        for _ in range(3):
            sleep(0.5)
            ours.kill()
            ours.start()
        said = speech.result()
    for event_id in said:
        bob.awaits_event(room, event_id)
    told = [event["event_id"] for event in bob.history(room) if event["type"] == "m.room.message"]
    assert told == said


def speaks(one: Person, room: str, number: int) -> str:
    sleep(0.02)
    return one.says(room, f"{number}")


def test_killed_while_it_sends(ours: Program, synapse: Program) -> None:
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    room = Sides(ours, synapse).meet(alice, bob)
    said: list[str] = []
    for _ in range(3):
        said += [alice.says(room, f"{number}") for number in range(20)]
        note = {bob.user_id: {bob.device_id: {"note": len(said)}}}
        alice.must("PUT", f"/sendToDevice/org.example.note/{len(said)}", {"messages": note})
        ours.kill()
        ours.start()
    for event_id in said:
        bob.awaits_event(room, event_id, AFTER_A_LEASE)
    bob.awaits("three notes", lambda: len(bob.to_device) >= 3)
    assert [event["content"]["note"] for event in bob.to_device] == [20, 40, 60]
    told = [event["event_id"] for event in bob.history(room) if event["type"] == "m.room.message"]
    assert told == said
