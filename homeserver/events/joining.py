"""The two ends of a join, knock or leave through another server, as decisions: what we sign, and what we believe.

Knows no network and no keys.  What we sign is built here from our own fields; of the other server's template only what is
its to say survives: where in the graph the event goes, and who vouches for it.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events import canonical, drafts, event, rules, signing
from homeserver.events.errors import Denied, Malformed
from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.events.versions import RoomVersion

MEMBER = "m.room.member"
STEP = 200  # events of an answer checked at once
_VOUCHER = "join_authorised_via_users_server"


def fill(
    template: Mapping[str, Any],
    version: RoomVersion,
    room_id: RoomID,
    user: UserID,
    kind: str,
    content: Mapping[str, Any],
    now: int,
    device: str | None = None,
) -> dict[str, Any]:
    """Our own hashed, unsigned member event (`kind`: join, knock or leave) at the place the template names, sent from `device`.

    Raises `Malformed` when the template is about anything else than what we asked for.
    """
    _check_template(template, room_id, user, kind)
    ours = {key: value for key, value in content.items() if key != _VOUCHER}
    voucher = template["content"].get(_VOUCHER)
    if kind == "join" and version.restricted_joins and voucher is not None:
        ours[_VOUCHER] = UserID.parse(voucher)
    draft = drafts.Draft(MEMBER, user, {**ours, "membership": kind}, state_key=user, device=device)
    depth = template.get("depth")
    if type(depth) is not int or not 0 <= depth <= canonical.MAX_INTEGER:
        raise Malformed("The template has no depth that an event can have")
    prev, auth = _references(version, template, "prev_events"), _references(version, template, "auth_events")
    data = drafts.complete(version, draft, room_id, prev, auth, depth, now)
    event.read(version, {**data, "signatures": {}}, room_id)
    return data


@dataclass(frozen=True, slots=True)
class Entrance:
    """A room as another server gave it to us, checked.

    `order` holds every event of the answer that passed its checks, each after the events that authorise it; `state` is the
    part of it that is the state before the join.  `refused` failed its checks; `unchecked` lacks auth events.
    """

    create: Event
    state: dict[Key, Event]
    order: list[Event]
    refused: dict[EventID, str]
    unchecked: dict[EventID, set[EventID]]


def verify_answer(version: RoomVersion, join: Event, state: Sequence[Event], auth: Sequence[Event]) -> Entrance:
    """What we accept of the answer to a join, at once; see `checking`."""
    steps = checking(version, join, state, auth)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def checking(version: RoomVersion, join: Event, state: Sequence[Event], auth: Sequence[Event]) -> Generator[None, None, Entrance]:
    """What we accept of the answer to a join, in steps of some milliseconds.  Raises `Denied` when it is no room we could be in.

    Hashes and signatures were checked before; an event that failed there is simply not given.
    """
    create = _create_of(version, join.room_id, state)
    given = {other.event_id: other for other in (*auth, *state)}
    if any(other.room_id != join.room_id for other in given.values()):
        raise Denied("The answer holds events of another room")
    if len({other.key for other in state}) != len(state) or any(not other.is_state for other in state):
        raise Denied("The state in the answer is not a state: a key is missing or there twice")
    order, refused, unchecked = yield from _check_all(create, given)
    accepted = {other.event_id for other in order}
    believed = rules.by_key([other for other in state if other.event_id in accepted])
    if rules.CREATE not in believed:
        raise Denied("The create event in the answer is not valid")
    rules.check(join, believed)
    return Entrance(create, believed, order, refused, unchecked)


def _check_template(template: Mapping[str, Any], room_id: RoomID, user: UserID, kind: str) -> None:
    content = template.get("content")
    if not isinstance(content, dict):
        raise Malformed("The template has no content")
    expected = {"type": MEMBER, "room_id": room_id, "sender": user, "state_key": user}
    for key, value in expected.items():
        if template.get(key) != value:
            raise Malformed(f"The template's {key} is not {value}")
    if content.get("membership") != kind:
        raise Malformed(f"The template's membership is not {kind}")


def _references(version: RoomVersion, template: Mapping[str, Any], key: str) -> list[drafts.Reference]:
    entries = template.get(key)
    if not isinstance(entries, list) or not entries:
        raise Malformed(f"The template has no {key}")
    if version.hashed_ids:
        return [EventID.parse(entry) for entry in entries]
    return [_pair(entry) for entry in entries]


def _pair(entry: object) -> drafts.Reference:
    match entry:
        case [str(event_id), {"sha256": str(digest)}]:
            return EventID.parse(event_id), signing.encode_base64(signing.decode_base64(digest))
        case [str(event_id), dict()]:
            return EventID.parse(event_id)
    raise Malformed("The template's events must be pairs of an event ID and its hashes")


def _create_of(version: RoomVersion, room_id: RoomID, state: Sequence[Event]) -> Event:
    creates = [other for other in state if other.key == rules.CREATE]
    if len(creates) != 1 or creates[0].room_id != room_id:
        raise Denied("The answer has no create event for this room")
    if creates[0].content.get("room_version", "1") != version.id:
        raise Denied(f"The room is not of version {version.id}")
    return creates[0]


def _check_all(
    create: Event, given: Mapping[EventID, Event]
) -> Generator[None, None, tuple[list[Event], dict[EventID, str], dict[EventID, set[EventID]]]]:
    """(what passes, in order; what fails and why; what cannot be judged and for lack of what)."""
    passed: dict[EventID, Event] = {}
    refused: dict[EventID, str] = {}
    unchecked: dict[EventID, set[EventID]] = {}
    for number, one in enumerate(_auth_first(given)):
        if number % STEP == STEP - 1:
            yield
        missing = {auth_id for auth_id in one.auth_events if auth_id not in passed and auth_id not in refused}
        if missing:
            unchecked[one.event_id] = missing
            continue
        try:
            _check_one(one, create, [given[auth_id] for auth_id in one.auth_events], refused)
        except Denied as error:
            refused[one.event_id] = str(error)
        else:
            passed[one.event_id] = one
    return list(passed.values()), refused, unchecked


def _check_one(one: Event, create: Event, auth: Sequence[Event], refused: Mapping[EventID, str]) -> None:
    rules.check_auth_events(one, auth, refused)
    state = rules.by_key(auth)
    if one.version.room_id_is_create_hash:
        state[rules.CREATE] = create
    if one.type == "m.room.create" and one.event_id != create.event_id:
        raise Denied("A room has one create event")
    rules.check(one, state)


def _auth_first(given: Mapping[EventID, Event]) -> list[Event]:
    """The events so that each comes after those that authorise it.  Circles, possible with old ids, are cut anywhere."""
    order: dict[EventID, Event] = {}
    opened: set[EventID] = set()
    for start in given:
        stack = [start]
        while stack:
            event_id = stack[-1]
            one = given[event_id]
            below = [] if event_id in opened else [auth_id for auth_id in one.auth_events if auth_id in given and auth_id not in opened]
            opened.add(event_id)
            if below:
                stack.extend(below)
            else:
                stack.pop()
                order.setdefault(event_id, one)
    return list(order.values())
