"""What a client asks of sliding sync, as it is written.  Pure.  spec: MSC4186 as clients speak it, at the unstable path"""

from collections.abc import Iterable, Mapping

import msgspec

from homeserver.errors import InvalidParam

MAX_LISTS = MAX_SUBSCRIPTIONS = 100
MAX_REQUIRED_STATE = 200
MAX_TIMELINE = 100
MAX_NAME = 255


class Filters(msgspec.Struct, frozen=True):
    """Which rooms belong to a list; what is None does not matter."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    is_invited: bool | None = None
    room_types: list[str | None] | None = None
    not_room_types: list[str | None] | None = None
    spaces: list[str] | None = None
    tags: list[str] | None = None
    not_tags: list[str] | None = None
    room_name_like: str | None = None


class Subscription(msgspec.Struct, frozen=True):
    """What is wanted of a room."""

    required_state: list[tuple[str, str]] = []
    timeline_limit: int = 0


class SlidingList(msgspec.Struct, frozen=True):
    """Rooms by their place in the user's list, and what is wanted of them."""

    required_state: list[tuple[str, str]] = []
    timeline_limit: int = 0
    ranges: list[tuple[int, int]] | None = None
    slow_get_all_rooms: bool | None = None
    filters: Filters | None = None


class ToDevice(msgspec.Struct, frozen=True):
    """Messages to the device, with a token of their own."""

    enabled: bool | None = None
    limit: int = 100
    since: str | None = None


class Plain(msgspec.Struct, frozen=True):
    """An extension that can only be switched on."""

    enabled: bool | None = None


class Scoped(msgspec.Struct, frozen=True):
    """An extension for some of the rooms asked for: those of `lists`, and those of `rooms`; `*` are all."""

    enabled: bool | None = None
    lists: list[str] | None = None
    rooms: list[str] | None = None


class Extensions(msgspec.Struct, frozen=True):
    """What is asked for beside rooms; what this server does not know is ignored."""

    to_device: ToDevice = ToDevice()
    e2ee: Plain = Plain()
    account_data: Scoped = Scoped()
    receipts: Scoped = Scoped()
    typing: Scoped = Scoped()


class SlidingBody(msgspec.Struct, frozen=True):
    """The body of a request.  `pos` and `timeout` may stand in the query instead."""

    conn_id: str = ""
    txn_id: str | None = None
    lists: dict[str, SlidingList] = {}
    room_subscriptions: dict[str, Subscription] = {}
    extensions: Extensions = Extensions()
    pos: str | None = None
    timeout: int | None = None
    set_presence: str | None = None


def check(body: SlidingBody) -> SlidingBody:
    """The body, if it asks for no more than anybody may; raises `InvalidParam`."""
    if len(body.lists) > MAX_LISTS or len(body.room_subscriptions) > MAX_SUBSCRIPTIONS:
        raise InvalidParam(f"At most {MAX_LISTS} lists and {MAX_SUBSCRIPTIONS} subscriptions")
    if len(body.conn_id) > MAX_NAME or len(body.txn_id or "") > MAX_NAME:
        raise InvalidParam(f"conn_id and txn_id have at most {MAX_NAME} characters")
    wishes: list[SlidingList | Subscription] = [*body.lists.values(), *body.room_subscriptions.values()]
    for wish in wishes:
        if len(wish.required_state) > MAX_REQUIRED_STATE:
            raise InvalidParam(f"required_state: at most {MAX_REQUIRED_STATE} entries")
        if wish.timeline_limit < 0:
            raise InvalidParam("timeline_limit: not below 0")
    for name, one in body.lists.items():
        if len(name) > MAX_NAME or any(first < 0 or last < first for first, last in one.ranges or ()):
            raise InvalidParam(f"lists.{name[:MAX_NAME]}: a range goes from a number to one that is not smaller")
    if body.extensions.to_device.limit < 0 or (body.timeout or 0) < 0:
        raise InvalidParam("limit and timeout: not below 0")
    return body


def in_scope(extension: Scoped, lists: Mapping[str, Iterable[str]], subscribed: Iterable[str]) -> set[str]:
    """The rooms that an extension is for, `lists` being those in the windows of the lists."""
    if not extension.enabled:
        return set()
    names = extension.lists if extension.lists is not None else ["*"]
    rooms = extension.rooms if extension.rooms is not None else ["*"]
    found = {room for name in (lists if "*" in names else names) for room in lists.get(name, ())}
    return found | {room for room in subscribed if "*" in rooms or room in rooms}
