"""The predefined push rules.  Spec v1.19, the mention rules that it dropped in v1.17 but that clients still count on, and polls (MSC3930).

`USER` and `LOCALPART` stand for the user whose rules they are.  spec: client-server-api#predefined-rules
"""

from typing import Any

from homeserver.events.notable import POLL_END, POLL_START

USER, LOCALPART = "[the user's Matrix ID]", "[the local part of the user's Matrix ID]"

MASTER = ".m.rule.master"
NOTICES, EDITS = ".m.rule.suppress_notices", ".m.rule.suppress_edits"
USER_MENTION, ROOM_MENTION = ".m.rule.is_user_mention", ".m.rule.is_room_mention"
DISPLAY_NAME, USER_NAME, ROOM_TEXT = ".m.rule.contains_display_name", ".m.rule.contains_user_name", ".m.rule.roomnotif"
INVITE, MEMBER, TOMBSTONE, REACTION, SERVER_ACL = (
    ".m.rule.invite_for_me", ".m.rule.member_event", ".m.rule.tombstone", ".m.rule.reaction", ".m.rule.room.server_acl",
)  # fmt: skip
POLL_RESPONSE = ".org.matrix.msc3930.rule.poll_response"
CALL, MESSAGE, ENCRYPTED = ".m.rule.call", ".m.rule.message", ".m.rule.encrypted"
MESSAGE_TO_ONE, ENCRYPTED_TO_ONE = ".m.rule.room_one_to_one", ".m.rule.encrypted_room_one_to_one"
POLL_START_TO_ONE, POLL_END_TO_ONE = ".org.matrix.msc3930.rule.poll_start_one_to_one", ".org.matrix.msc3930.rule.poll_end_one_to_one"
POLL_START_RULE, POLL_END_RULE = ".org.matrix.msc3930.rule.poll_start", ".org.matrix.msc3930.rule.poll_end"

# They read the text for mentions, and are silent where the sender said in `m.mentions` whom they mean.
TEXTUAL = frozenset({DISPLAY_NAME, USER_NAME, ROOM_TEXT})

_SOUND = {"set_tweak": "sound", "value": "default"}
_RING = {"set_tweak": "sound", "value": "ring"}
_HIGHLIGHT = {"set_tweak": "highlight"}
_TWO = {"kind": "room_member_count", "is": "2"}


def _match(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _rule(rule_id: str, conditions: list[dict[str, Any]], actions: list[Any], enabled: bool = True) -> dict[str, Any]:
    return {"rule_id": rule_id, "default": True, "enabled": enabled, "conditions": conditions, "actions": actions}


_MAY_NOTIFY_ROOM = {"kind": "sender_notification_permission", "key": "room"}

OVERRIDE = (
    _rule(MASTER, [], [], enabled=False),
    _rule(NOTICES, [_match("content.msgtype", "m.notice")], []),
    _rule(
        INVITE,
        [_match("type", "m.room.member"), _match("content.membership", "invite"), _match("state_key", USER)],
        ["notify", _SOUND],
    ),
    _rule(MEMBER, [_match("type", "m.room.member")], []),
    _rule(
        USER_MENTION,
        [{"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": USER}],
        ["notify", _SOUND, _HIGHLIGHT],
    ),
    _rule(DISPLAY_NAME, [{"kind": "contains_display_name"}], ["notify", _SOUND, _HIGHLIGHT]),
    _rule(
        ROOM_MENTION,
        [{"kind": "event_property_is", "key": "content.m\\.mentions.room", "value": True}, _MAY_NOTIFY_ROOM],
        ["notify", _HIGHLIGHT],
    ),
    _rule(ROOM_TEXT, [_MAY_NOTIFY_ROOM, _match("content.body", "@room")], ["notify", _HIGHLIGHT]),
    _rule(TOMBSTONE, [_match("type", "m.room.tombstone"), _match("state_key", "")], ["notify", _HIGHLIGHT]),
    _rule(REACTION, [_match("type", "m.reaction")], []),
    _rule(SERVER_ACL, [_match("type", "m.room.server_acl"), _match("state_key", "")], []),
    _rule(EDITS, [{"kind": "event_property_is", "key": "content.m\\.relates_to.rel_type", "value": "m.replace"}], []),
    _rule(POLL_RESPONSE, [_match("type", "org.matrix.msc3381.poll.response")], []),
)
CONTENT = (
    {"rule_id": USER_NAME, "default": True, "enabled": True, "pattern": LOCALPART, "actions": ["notify", _SOUND, _HIGHLIGHT]},
)  # fmt: skip
UNDERRIDE = (
    _rule(CALL, [_match("type", "m.call.invite")], ["notify", _RING]),
    _rule(POLL_START_TO_ONE, [_TWO, _match("type", POLL_START)], ["notify", _SOUND]),
    _rule(POLL_START_RULE, [_match("type", POLL_START)], ["notify"]),
    _rule(POLL_END_TO_ONE, [_TWO, _match("type", POLL_END)], ["notify", _SOUND]),
    _rule(POLL_END_RULE, [_match("type", POLL_END)], ["notify"]),
    _rule(ENCRYPTED_TO_ONE, [_TWO, _match("type", "m.room.encrypted")], ["notify", _SOUND]),
    _rule(MESSAGE_TO_ONE, [_TWO, _match("type", "m.room.message")], ["notify", _SOUND]),
    _rule(MESSAGE, [_match("type", "m.room.message")], ["notify"]),
    _rule(ENCRYPTED, [_match("type", "m.room.encrypted")], ["notify"]),
)
RULES: dict[str, tuple[dict[str, Any], ...]] = {"override": OVERRIDE, "content": CONTENT, "room": (), "sender": (), "underride": UNDERRIDE}
