"""What a push gateway is told, and what its answer means.  Pure.  spec: push-gateway-api"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.events.event import Event
from homeserver.storage.pushers import Pusher
from homeserver.work import pause

RETRY_FIRST_MS, RETRY_LAST_MS = 1_000, 60 * 60_000
GIVE_UP_MS = 24 * 60 * 60_000  # what is older is of no use to anybody


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a notification says beside the event: names as they are now."""

    sender_display_name: str | None = None
    room_name: str | None = None
    room_alias: str | None = None


@dataclass(frozen=True, slots=True)
class News:
    """An event for one user: the tweaks that their rules want, and how much they have not read."""

    event: Event
    tweaks: Mapping[str, Any]
    around: Surroundings
    unread: int


def about(pusher: Pusher, news: News) -> bytes:
    """The body of a request about an event."""
    event, around = news.event, news.around
    notification: dict[str, Any] = {
        "event_id": event.event_id,
        "room_id": event.room_id,
        "prio": "high" if is_urgent(news) else "low",
        "devices": [_device(pusher, news.tweaks)],
    }
    if not pusher.data.get("org.matrix.msc4076.disable_badge_count"):
        notification["counts"] = {"unread": news.unread}
    if pusher.data.get("format") != "event_id_only":
        notification |= {"type": event.type, "sender": event.sender, "content": event.content}
        if event.type == "m.room.member":
            notification["membership"] = event.membership
            notification["user_is_target"] = event.state_key == pusher.user_id
        names = {"sender_display_name": around.sender_display_name, "room_name": around.room_name, "room_alias": around.room_alias}
        notification |= {name: value for name, value in names.items() if value is not None}
    return orjson.dumps({"notification": notification}, option=orjson.OPT_NON_STR_KEYS)


def badge(pusher: Pusher, unread: int) -> bytes:
    """The body of a request that only says how much is unread: also when it is nothing, or it would stay on the screen."""
    return orjson.dumps({"notification": {"counts": {"unread": unread}, "devices": [_device(pusher, {})]}})


def is_urgent(news: News) -> bool:
    """Whether a phone should be woken for it."""
    return news.event.type in ("m.room.encrypted", "m.call.invite") or bool(news.tweaks.get("sound") or news.tweaks.get("highlight"))


def _device(pusher: Pusher, tweaks: Mapping[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in pusher.data.items() if name != "url"}
    device = {"app_id": pusher.app_id, "pushkey": pusher.pushkey, "pushkey_ts": pusher.ts // 1000, "data": data}
    return {**device, "tweaks": dict(tweaks)} if tweaks else device


def rejects(pusher: Pusher, answer: bytes) -> bool:
    """Whether the gateway says that the pushkey is no good any more."""
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return False
    rejected = found.get("rejected") if isinstance(found, dict) else None
    return isinstance(rejected, list) and pusher.pushkey in rejected


def retry_delay_ms(failures: int) -> int:
    """How long to wait after that many failures in a row."""
    return pause(RETRY_FIRST_MS, failures, RETRY_LAST_MS)
