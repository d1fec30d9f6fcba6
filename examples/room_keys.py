"""Bob joins an open room and gets its key from Alice; the servers carry it and cannot open it.  docs/flows/room_keys.md

    python examples/room_keys.py http://127.0.0.1:8008 alice:PASSWORD bob:PASSWORD

Both accounts must exist (`homeserver user add`).  A second URL is Bob's server, if it is another one.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

from client import VENDOR, Device, Refused
from nacl.utils import random

PATIENCE = 30.0  # seconds


@dataclass
class Member:
    """A device and what it knows of the room's key."""

    device: Device
    key: bytes = b""

    def asks(self, room: str) -> str:
        """Ask for the key; the request's id."""
        answer = self.device.ask("POST", f"{VENDOR}/rooms/{room}/key_requests", {"public_key": self.device.public})
        return str(answer["request_id"])

    def approves_what_waits(self, room: str) -> int:
        """Approve what is pending, in a room whose key this member has; how many that were.

        A person should be asked here.  `seal` takes the key that the device has signed, not the one that came with the request.
        """
        waiting = self.device.ask("GET", f"{VENDOR}/rooms/{room}/key_requests")["requests"]
        for request in waiting:
            key = self.device.seal(request["user_id"], request["device_id"], self.key)
            path = f"{VENDOR}/rooms/{room}/key_requests/{request['request_id']}/approval"
            try:
                self.device.ask("PUT", path, {"key": key})
            except Refused as refused:
                if refused.status not in (404, 409):  # another member was first
                    raise
        return len(waiting)

    def hears(self) -> None:
        """The fast track: wait for what is told live."""
        for message in self.device.follow(wait=1)[0]:
            if message["type"] == "org.homeserver.room_key.approval":
                self._takes(message["content"])

    def looks(self) -> None:
        """The persistent track: what was approved while this device was away."""
        for request in self.device.ask("GET", f"{VENDOR}/key_requests")["requests"]:
            if request["status"] == "approved" and request["device_id"] == self.device.device_id:
                self._takes(request)

    def _takes(self, approval: dict[str, Any]) -> None:
        self.key = self.device.open(approval["key"])
        # Only now, when the key is saved, may the server forget it.
        self.device.ask("DELETE", f"{VENDOR}/rooms/{approval['room_id']}/key_requests/{approval['request_id']}")


def play(alice: Member, bob: Member) -> None:
    """The whole of it."""
    alice.key = random(32)
    room = alice.device.ask("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    print(f"{alice.device.user_id} has made {room} and has its key")
    bob.device.ask("POST", f"/join/{room}", {}, via=alice.device.user_id.partition(":")[2])
    print(f"{bob.device.user_id} has joined and asks: request {bob.asks(room)}")
    until = time.monotonic() + PATIENCE
    while not alice.approves_what_waits(room) and time.monotonic() < until:
        time.sleep(0.2)
    print(f"{alice.device.user_id} has approved")
    while not bob.key and time.monotonic() < until:
        bob.hears()
    if not bob.key:
        bob.looks()
    assert bob.key == alice.key
    print(f"{bob.device.user_id} has the key; waiting at the server: {bob.device.ask('GET', f'{VENDOR}/key_requests')['requests']}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Bob gets the key of Alice's room.")
    parser.add_argument("url", nargs="+", help="of Alice's server, and of Bob's if it is another")
    parser.add_argument("alice", help="NAME:PASSWORD")
    parser.add_argument("bob", help="NAME:PASSWORD")
    args = parser.parse_args()
    members = [Member(Device.log_in(url, *who.split(":", 1))) for url, who in ((args.url[0], args.alice), (args.url[-1], args.bob))]
    play(*members)


if __name__ == "__main__":
    main()
