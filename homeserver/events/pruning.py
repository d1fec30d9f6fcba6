"""The redaction algorithm on plain data.  Below `event`, since an event's id is the hash of what a redaction leaves."""

from collections.abc import Mapping
from typing import Any

from homeserver.events.versions import RoomVersion


def redact(version: RoomVersion, data: Mapping[str, Any]) -> dict[str, Any]:
    """A new PDU with only the keys that survive a redaction in this room version; `unsigned` does not.

    The parts are shared with `data`, not copied.
    """
    kept = version.kept_keys
    pruned = {key: value for key, value in data.items() if key in kept}
    pruned["content"] = _content(version, data.get("type"), data.get("content"))
    return pruned


def _content(version: RoomVersion, kind: object, content: object) -> dict[str, Any]:
    if not isinstance(kind, str) or not isinstance(content, dict):
        return {}
    if kind == "m.room.create" and version.keeps_whole_create:
        return content
    kept = version.kept_content.get(kind, version.kept_always)
    pruned = {key: content[key] for key in content if key in kept} if kept else {}
    if kind == "m.room.member" and version.keeps_signed_invite:
        invite = content.get("third_party_invite")
        if isinstance(invite, dict):
            pruned["third_party_invite"] = {key: invite[key] for key in ("signed",) if key in invite}
    return pruned
