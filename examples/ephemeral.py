"""Alice and Bob speak in an ephemeral room, with a key that they alone have.  docs/flows/ephemeral_rooms.md

    python examples/ephemeral.py http://127.0.0.1:8008 alice:PASSWORD bob:PASSWORD

Both accounts must exist (`homeserver user add`).  A second URL is Bob's server, if it is another one.
"""

import argparse
import time
from dataclasses import dataclass, field

from client import Device, raw, text
from nacl.secret import SecretBox
from nacl.utils import random

PATIENCE = 30.0  # seconds
KEY = "org.example.group_key"  # the message to a device that brings the key
ALGORITHM = "org.example.secretbox"


@dataclass
class Speaker:
    """A device, the keys of the rooms it is in, and what it has heard there."""

    device: Device
    keys: dict[str, bytes] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)

    def creates(self) -> str:
        """An ephemeral room; its creator's client makes the key."""
        wish = {"preset": "private_chat", "creation_content": {"org.homeserver.delivery": "ephemeral"}}
        room = str(self.device.ask("POST", "/createRoom", wish)["room_id"])
        self.keys[room] = random(SecretBox.KEY_SIZE)
        return room

    def invites(self, room: str, user_id: str) -> None:
        """Invite somebody, and give each of their devices the key, sealed."""
        self.device.ask("POST", f"/rooms/{room}/invite", {"user_id": user_id})
        key, devices = self.keys[room], self.device.devices_of(user_id)
        secret = {device: {"room_id": room, **self.device.seal(user_id, device, key)} for device in devices}
        self.device.ask("PUT", f"/sendToDevice/{KEY}/{self.device.transaction()}", {"messages": {user_id: secret}})

    def says(self, room: str, words: str) -> str:
        """Say something; the id of the message."""
        content = {"algorithm": ALGORITHM, "ciphertext": text(SecretBox(self.keys[room]).encrypt(words.encode()))}
        return str(self.device.ask("PUT", f"/rooms/{room}/send/m.room.encrypted/{self.device.transaction()}", content)["event_id"])

    def hears(self) -> None:
        """Follow what happens for a moment."""
        messages, rooms = self.device.follow(wait=1)
        for message in messages:
            if message["type"] == KEY:
                # Anybody can seal a box.  A real client sends the key by Olm, which proves whose device it comes from.
                self.keys.setdefault(message["content"]["room_id"], self.device.open(message["content"]))
        for room, events in rooms.items():
            for event in events:
                if event["type"] == "m.room.encrypted" and event["content"].get("algorithm") == ALGORITHM and room in self.keys:
                    words = SecretBox(self.keys[room]).decrypt(raw(event["content"]["ciphertext"])).decode()
                    self.heard.append(f"{event['sender']}: {words}")


def play(alice: Speaker, bob: Speaker) -> None:
    """The whole of it."""
    room = alice.creates()
    alice.invites(room, bob.device.user_id)
    until = time.monotonic() + PATIENCE
    while room not in bob.keys and time.monotonic() < until:
        bob.hears()
    bob.device.ask("POST", f"/join/{room}", {})
    members = f"/rooms/{room}/joined_members"
    while bob.device.user_id not in alice.device.ask("GET", members)["joined"] and time.monotonic() < until:
        time.sleep(0.2)
    bob.hears()
    alice.says(room, "This is written nowhere.")
    while not bob.heard and time.monotonic() < until:
        bob.hears()
    print("\n".join(bob.heard))
    page = bob.device.ask("GET", f"/rooms/{room}/messages", dir="b", limit=100)["chunk"]
    print("in the history:", sum(event["type"] == "m.room.encrypted" for event in page))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Alice and Bob speak in an ephemeral room.")
    parser.add_argument("url", nargs="+", help="of Alice's server, and of Bob's if it is another")
    parser.add_argument("alice", help="NAME:PASSWORD")
    parser.add_argument("bob", help="NAME:PASSWORD")
    args = parser.parse_args()
    play(*(Speaker(Device.log_in(url, *who.split(":", 1))) for url, who in ((args.url[0], args.alice), (args.url[-1], args.bob))))


if __name__ == "__main__":
    main()
