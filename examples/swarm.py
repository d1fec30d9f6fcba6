"""Alice and Bob in a swarm: Bob is asked and accepts, both vote on whom to keep out.  docs/flows/swarms.md

    python examples/swarm.py http://127.0.0.1:8008 alice:PASSWORD bob:PASSWORD

Both accounts must exist (`homeserver user add`).  A second URL is Bob's server, if it is another one.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

from client import VENDOR, Device, Refused

SWARM = f"{VENDOR}/swarm"
PATIENCE = 30.0  # seconds
EVE = "@eve:elsewhere.example"


def creates(alice: Device, other: str) -> str:
    """A swarm with two admins, of whom one is asked to come."""
    wish = {"room_version": "org.homeserver.swarm.1", "preset": "trusted_private_chat", "name": "A table", "invite": [other]}
    return str(alice.ask("POST", "/createRoom", wish)["room_id"])


def accepts(bob: Device, room: str) -> None:
    """Answer the request; return when the conversation is here."""
    asked = awaited(lambda: next((one for one in bob.ask("GET", f"{SWARM}/requests") if one["id"] == room), None))
    print(f"{asked['from']} asks {bob.user_id} to {asked['title']}")
    bob.ask("POST", f"{SWARM}/requests/{room}/accept", {})
    awaited(lambda: not bob.ask("GET", f"{SWARM}/conversations/{room}")["syncing"])


def says(one: Device, room: str, words: str) -> None:
    """A message, in the form of swarms."""
    one.ask("PUT", f"{SWARM}/rooms/{room}/messages/{one.transaction()}", {"type": "text/plain", "body": words})


def hears(one: Device, room: str, words: str) -> None:
    """Wait for it."""
    page = f"{SWARM}/rooms/{room}/messages"
    told = awaited(lambda: next((it for it in one.ask("GET", page)["messages"] if it.get("body") == words), None))
    print(f"{told['author']}: {told['body']}")


def votes(one: Device, room: str) -> bool:
    """Vote to keep Eve out; whether that makes enough votes."""
    count = one.ask("PUT", f"{SWARM}/rooms/{room}/votes", {"action": "ban", "target": EVE})
    print(f"{one.user_id} votes: {count['votes']} of {count['needed']}")
    return bool(count["passed"])


def awaited(look: Callable[[], Any]) -> Any:
    """What a look finds, when it does."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            found = look()
        except Refused as error:
            if error.status != 404:
                raise
            found = None
        if found:
            return found
        time.sleep(0.2)
    raise TimeoutError


def play(alice: Device, bob: Device) -> None:
    """The whole of it."""
    room = creates(alice, bob.user_id)
    accepts(bob, room)
    says(alice, room, "Nobody owns this.")
    hears(bob, room, "Nobody owns this.")
    votes(alice, room)
    # A vote that has not come here yet is not counted here yet.
    awaited(lambda: bob.ask("GET", f"{SWARM}/rooms/{room}/votes")["votes"])
    print("Eve stays out" if votes(bob, room) else "Eve may come")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Alice and Bob in a swarm.")
    parser.add_argument("url", nargs="+", help="of Alice's server, and of Bob's if it is another")
    parser.add_argument("alice", help="NAME:PASSWORD")
    parser.add_argument("bob", help="NAME:PASSWORD")
    args = parser.parse_args()
    play(*(Device.log_in(url, *who.split(":", 1)) for url, who in ((args.url[0], args.alice), (args.url[-1], args.bob))))


if __name__ == "__main__":
    main()
