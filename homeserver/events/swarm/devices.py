"""Devices in a swarm: each event names its sender's, and those that were banned say nothing more.  Knows no device's keys."""

from collections.abc import Mapping
from typing import Any

from homeserver.events.errors import Denied, Impossible
from homeserver.events.event import Event, Key
from homeserver.events.standing import State
from homeserver.events.swarm.names import DEVICE, DEVICE_BAN, NO_DEVICE
from homeserver.events.swarm.votes import Motion, check_motion, digest


def key_of(user: str, device: str) -> Key:
    """Where the ban of a device stands in the state."""
    return DEVICE_BAN, digest(user, device)


def is_banned(state: State, user: str, device: str) -> bool:
    """Whether this device of this user is banned."""
    ban = state.get(key_of(user, device))
    return ban is not None and ban.content.get("banned") is True


def check_device(event: Event, state: State) -> None:
    """Return if the event names a device of its sender that is not banned, else raise `Denied`."""
    device = event.content.get(DEVICE)
    if not isinstance(device, str) or not 0 < len(device) <= 255:
        raise Impossible(f"{DEVICE} must name the device of the sender")
    if device == NO_DEVICE and not (event.type == "m.room.member" and event.state_key == event.sender and event.membership == "leave"):
        raise Denied("Without a device one can only leave")
    if is_banned(state, event.sender, device):
        raise Denied(f"The device {device} of {event.sender} is banned from this room")


def motion_of_ban(content: Mapping[str, Any]) -> Motion | None:
    """The motion that a ban of a device, or the end of one, carries out; None where it is neither."""
    user, device, banned = content.get("target"), content.get("target_device"), content.get("banned")
    if not isinstance(user, str) or not isinstance(device, str) or not isinstance(banned, bool) or not user or not device:
        return None
    return Motion("ban" if banned else "unban", "device", user, device)


def check_device_ban(event: Event, state: State) -> None:
    """Return if enough votes stand behind the ban of a device, or behind its end; else raise `Denied`."""
    motion = motion_of_ban(event.content)
    if motion is None:
        raise Impossible("A ban of a device says which device of whom, and whether it is banned")
    if event.key != key_of(motion.target, motion.device) or motion.device == NO_DEVICE:
        raise Denied("The key of a device's ban is made of its user and its name")
    if is_banned(state, motion.target, motion.device) == (motion.action == "ban"):
        raise Denied("The device is banned already" if motion.action == "ban" else "The device is not banned")
    check_motion(event, state, motion)
