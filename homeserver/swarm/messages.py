"""The messages of a swarm in the form its clients know, `{"type": "text/plain", ...}`, and the Matrix events that they are.

Pure; knows neither rooms nor who may say what.  docs/flows/swarms.md#messages
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import BadJSON
from homeserver.events.errors import OutOfDate
from homeserver.events.event import Event, is_event_id
from homeserver.events.swarm.devices import motion_of_ban
from homeserver.events.swarm.names import CALL, DEVICE, DEVICE_BAN, FILE, PROFILE, VOTE, VOTES
from homeserver.events.swarm.votes import Motion, digest, motion_of

INITIAL, TEXT, EDIT = "initial", "text/plain", "application/edited-message"
CALL_HISTORY, DATA_TRANSFER = "application/call-history+json", "application/data-transfer+json"
UPDATE_PROFILE, MEMBER, VOTE_MESSAGE = "application/update-profile", "member", "vote"

Message = Mapping[str, Any]
MEMBERSHIPS = {"add": "invite", "join": "join", "remove": "leave", "ban": "ban"}
ACTIONS = {membership: action for action, membership in MEMBERSHIPS.items()}
HOSTED = ("uri", "device", "confId")
SHOWN_IN_PROFILE = ("title", "description", "avatar", "call")
MOST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Said:
    """The event that a message is: what a draft needs, but for who says it where.  `redacts`: the event that it takes back."""

    type: str
    content: dict[str, Any]
    state_key: str | None = None
    redacts: str | None = None


# --- from their form ---------------------------------------------------------------------------------------


def said(message: Message, sender: str) -> Said:
    """The event that a message of `sender` is.  Raises `OutOfDate` for a type that is not known, `BadJSON` for what is malformed."""
    kind = message.get("type")
    read = READ.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise OutOfDate(f"There are no messages {str(kind)[:80]} here: the client, or this server, may be out of date")
    return read(message, sender)


def _text(message: Message, sender: str) -> Said:
    body = _string(message, "body")
    if "react-to" in message:
        return Said("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": _event(message, "react-to"), "key": body}})
    content: dict[str, Any] = {"msgtype": "m.text", "body": body}
    if "reply-to" in message:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": _event(message, "reply-to")}}
    return Said("m.room.message", content)


def _edit(message: Message, sender: str) -> Said:
    body, edited = _string(message, "body"), _event(message, "edit")
    if not body:
        # Of what was edited to nothing, nothing is left: so reactions are taken back, too.
        return Said("m.room.redaction", {}, redacts=edited)
    new = {"msgtype": "m.text", "body": body}
    return Said(
        "m.room.message",
        {"msgtype": "m.text", "body": f"* {body}", "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": edited}},
    )


def _call(message: Message, sender: str) -> Said:
    ended = {"duration": _number(message, "duration")} if "duration" in message else {}
    if "confId" not in message:
        return Said(CALL, {"to": _string(message, "to"), "duration": _number(message, "duration")})
    content = {name: _string(message, name) for name in HOSTED}
    return Said(CALL, {**content, **ended}, digest(sender, content["confId"]))


def _file(message: Message, sender: str) -> Said:
    content: dict[str, Any] = {name: _string(message, name) for name in ("tid", "displayName", "sha3sum")}
    more = {"mimetype": _string(message, "mimetype")} if "mimetype" in message else {}
    return Said(FILE, {**content, "totalSize": _number(message, "totalSize"), **more})


def _profile(message: Message, sender: str) -> Said:
    return Said(PROFILE, {name: _string(message, name) for name in SHOWN_IN_PROFILE if name in message}, "")


def _member(message: Message, sender: str) -> Said:
    action, user = message.get("action"), _string(message, "uri")
    membership = MEMBERSHIPS.get(action) if isinstance(action, str) else None
    if membership is None:
        raise BadJSON(f"action: expected one of {', '.join(MEMBERSHIPS)}")
    return Said("m.room.member", {"membership": membership}, user)


def _vote(message: Message, sender: str) -> Said:
    target, device = _string(message, "uri"), _string(message, "device") if "device" in message else ""
    content = {"action": message.get("action"), "kind": "device" if device else "user", "target": target}
    motion = motion_of({**content, "target_device": device})
    if motion is None:
        raise BadJSON("A vote says whom to ban or to unban: uri, and action, ban or unban")
    return vote(motion, sender)


READ: Mapping[str, Callable[[Message, str], Said]] = {
    TEXT: _text,
    EDIT: _edit,
    CALL_HISTORY: _call,
    DATA_TRANSFER: _file,
    UPDATE_PROFILE: _profile,
    MEMBER: _member,
    VOTE_MESSAGE: _vote,
}


def vote(motion: Motion, voter: str) -> Said:
    """The vote of somebody on a motion."""
    content = {"action": motion.action, "kind": motion.kind, "target": motion.target}
    more = {"target_device": motion.device} if motion.device else {}
    return Said(VOTE, {**content, **more}, motion.key(voter)[1])


def _string(message: Message, name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        raise BadJSON(f"{name}: expected a string")
    return value


def _event(message: Message, name: str) -> str:
    value = message.get(name)
    if not is_event_id(value):
        raise BadJSON(f"{name}: expected the id of an event")
    return str(value)


def _number(message: Message, name: str) -> int:
    """Numbers are written as texts there; both are understood."""
    value = message.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS:
        return int(value)
    if type(value) is int and value >= 0:
        return value
    raise BadJSON(f"{name}: expected a number of at least 0")


# --- in their form -----------------------------------------------------------------------------------------


def message(event: Event) -> dict[str, Any]:
    """An event in the form of swarms, with its id, author, device and time; what has no form there keeps its type and content."""
    show = SHOW.get((event.type, event.state_key is not None))
    content = event.content
    shown = (show(event, content) if show is not None else None) or _as_it_is(event)
    device = {} if not isinstance(content.get(DEVICE), str) else {"deviceId": content[DEVICE]}
    return {"id": event.event_id, "author": event.sender, **device, "timestamp": event.origin_server_ts, **shown}


def _as_it_is(event: Event) -> dict[str, Any]:
    return {"type": event.type, "content": {name: value for name, value in event.content.items() if name != DEVICE}}


def _show_create(event: Event, content: Message) -> dict[str, Any]:
    return {"type": INITIAL, **_some(content, "mode", "invited")}


def _show_text(event: Event, content: Message) -> dict[str, Any]:
    relation = content.get("m.relates_to")
    relation = relation if isinstance(relation, dict) else {}
    new = content.get("m.new_content")
    if relation.get("rel_type") == "m.replace" and isinstance(new, dict):
        return {"type": EDIT, "body": str(new.get("body", "")), "edit": relation.get("event_id")}
    reply = relation.get("m.in_reply_to")
    answered = {"reply-to": reply["event_id"]} if isinstance(reply, dict) and "event_id" in reply else {}
    # What was redacted has no body any more.
    return {"type": TEXT, "body": content.get("body", ""), **answered}


def _show_reaction(event: Event, content: Message) -> dict[str, Any] | None:
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict):
        return {"type": TEXT, "body": ""}
    return {"type": TEXT, "body": relation.get("key", ""), "react-to": relation.get("event_id")}


def _show_redaction(event: Event, content: Message) -> dict[str, Any]:
    return {"type": EDIT, "body": "", "edit": event.redacts}


def _show_member(event: Event, content: Message) -> dict[str, Any] | None:
    action = ACTIONS.get(event.membership or "")
    if action is None:
        return None
    return {"type": MEMBER, "uri": event.state_key, "action": "unban" if action == "remove" and VOTES in content else action}


def _show_vote(event: Event, content: Message) -> dict[str, Any] | None:
    motion = motion_of(content)
    return None if motion is None else {"type": VOTE_MESSAGE, **_about(motion)}


def _show_device_ban(event: Event, content: Message) -> dict[str, Any] | None:
    motion = motion_of_ban(content)
    return None if motion is None else {"type": MEMBER, **_about(motion)}


def _about(motion: Motion) -> dict[str, Any]:
    return {"uri": motion.target, "action": motion.action, **({"device": motion.device} if motion.device else {})}


def _show_call(event: Event, content: Message) -> dict[str, Any]:
    return {"type": CALL_HISTORY, **_some(content, "to", *HOSTED), **_numbers(content, "duration")}


def _show_file(event: Event, content: Message) -> dict[str, Any]:
    return {"type": DATA_TRANSFER, **_some(content, "tid", "displayName", "sha3sum", "mimetype"), **_numbers(content, "totalSize")}


def _show_profile(event: Event, content: Message) -> dict[str, Any]:
    return {"type": UPDATE_PROFILE, **_some(content, *SHOWN_IN_PROFILE)}


def _some(content: Message, *names: str) -> dict[str, Any]:
    return {name: content[name] for name in names if name in content}


def _numbers(content: Message, *names: str) -> dict[str, str]:
    return {name: str(value) for name, value in _some(content, *names).items()}


# (type, whether it is state) -> how it is shown; None: as it is.
SHOW: Mapping[tuple[str, bool], Callable[[Event, Message], dict[str, Any] | None]] = {
    ("m.room.create", True): _show_create,
    ("m.room.message", False): _show_text,
    ("m.reaction", False): _show_reaction,
    ("m.room.redaction", False): _show_redaction,
    ("m.room.member", True): _show_member,
    (VOTE, True): _show_vote,
    (DEVICE_BAN, True): _show_device_ban,
    (CALL, True): _show_call,
    (CALL, False): _show_call,
    (FILE, False): _show_file,
    (PROFILE, True): _show_profile,
}
