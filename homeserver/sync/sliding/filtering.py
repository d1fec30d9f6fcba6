"""Which rooms of a user's list a filter lets through.  Reads for all rooms at once, and only what the filter asks about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.storage import events, members, notable, state, windows
from homeserver.storage.transactions import Transaction
from homeserver.storage.windows import Listed
from homeserver.sync.sliding.request import Filters

ENCRYPTION, CREATE, NAME, ALIAS = "m.room.encryption", "m.room.create", "m.room.name", "m.room.canonical_alias"


@dataclass(frozen=True, slots=True)
class Looker:
    """Whose list it is, and which rooms are direct chats."""

    user: str
    direct: frozenset[str]


def passing(txn: Transaction, looker: Looker, rooms: Sequence[Listed], filters: Filters | None) -> Sequence[Listed]:
    """Those of the rooms, in their order."""
    if filters is None:
        return rooms
    invited = filters.is_invite if filters.is_invite is not None else filters.is_invited
    if invited is not None:
        rooms = [room for room in rooms if (room.membership == "invite") == invited]
    if filters.is_dm is not None:
        rooms = [room for room in rooms if (room.room_id in looker.direct) == filters.is_dm]
    if filters.tags is not None or filters.not_tags:
        rooms = _tagged(txn, looker, rooms, filters)
    if filters.spaces is not None:
        rooms = _in_spaces(txn, looker, rooms, filters.spaces)
    if filters.is_encrypted is not None:
        encrypted = _encrypted(txn, looker, rooms)
        # Of a room that nothing is known of it is not said that it is unencrypted.
        rooms = [room for room in rooms if encrypted.get(room.room_id) is filters.is_encrypted]
    if filters.room_types is not None or filters.not_room_types:
        types = room_types(txn, looker, rooms)
        rooms = [room for room in rooms if room.room_id in types and _typed(types[room.room_id], filters)]
    if filters.room_name_like:
        rooms = _named(txn, looker, rooms, filters.room_name_like.casefold())
    return rooms


def _typed(kind: str | None, filters: Filters) -> bool:
    if kind in (filters.not_room_types or ()):
        return False
    return filters.room_types is None or kind in filters.room_types


def _tagged(txn: Transaction, looker: Looker, rooms: Sequence[Listed], filters: Filters) -> Sequence[Listed]:
    tags = {room: _keys(raw, "tags") for room, raw in windows.account_data_of_type(txn, looker.user, "m.tag").items()}
    wanted, unwanted = filters.tags, set(filters.not_tags or ())
    return [
        room
        for room in rooms
        for own in (tags.get(room.room_id, set()),)
        if not own & unwanted and (wanted is None or own & set(wanted))
    ]


def _keys(raw: bytes, name: str) -> set[str]:
    content = orjson.loads(raw)
    found = content.get(name) if isinstance(content, dict) else None
    return set(found) if isinstance(found, dict) else set()


def _in_spaces(txn: Transaction, looker: Looker, rooms: Sequence[Listed], spaces: Iterable[str]) -> Sequence[Listed]:
    mine = set(members.joined_rooms(txn, looker.user)) & set(spaces)
    children = {
        key
        for found in state.current_in_rooms(txn, mine, ["m.space.child"]).values()
        for (_, key), stored in found.items()
        if stored.event.content.get("via")
    }
    return [room for room in rooms if room.room_id in children]


def stripped(txn: Transaction, looker: Looker, room: Listed) -> Mapping[str, Mapping[str, Any]] | None:
    """Type -> content of the state without key, for a room that the user is not in: what they were shown of it, or left it with.

    None where nothing is known.
    """
    invitation = members.invitation(txn, room.room_id, looker.user)
    if invitation is not None:
        events_shown: list[dict[str, Any]] = invitation.stripped
        return {event["type"]: event["content"] for event in events_shown if _is_state(event)} or None
    if room.version is None:
        return None
    if room.membership in ("invite", "knock"):
        shown = state.current_of_types(txn, room.room_id, [ENCRYPTION, CREATE, NAME, ALIAS])
        return {kind: stored.event.content for (kind, key), stored in shown.items() if key == ""}
    last = events.by_number(txn, [room.num]).get(room.num)
    if last is None or last.state_after is None:
        return None
    view = state.view(txn, last.state_after, [(kind, "") for kind in (ENCRYPTION, CREATE, NAME, ALIAS)])
    return {kind: event.content for (kind, _), event in view.items()}


def _is_state(event: Mapping[str, Any]) -> bool:
    return event.get("state_key") == "" and isinstance(event.get("type"), str) and isinstance(event.get("content"), dict)


def _encrypted(txn: Transaction, looker: Looker, rooms: Sequence[Listed]) -> dict[str, bool]:
    joined = [room.room_id for room in rooms if room.membership == "join"]
    found = dict.fromkeys(joined, False) | dict.fromkeys(notable.encrypted(txn, joined), True)
    for room in rooms:
        if room.membership != "join" and (known := stripped(txn, looker, room)) is not None:
            found[room.room_id] = ENCRYPTION in known
    return found


def room_types(txn: Transaction, looker: Looker, rooms: Sequence[Listed]) -> dict[str, str | None]:
    """The types of those rooms that something is known of.  A create event never changes, so joined rooms are read once."""
    found: dict[str, str | None] = {}
    missing = []
    for room in rooms:
        known = txn.memory.get(("room type", room.room_id))
        if known is not None:
            found[room.room_id] = known or None
        elif room.membership == "join":
            missing.append(room)
        elif (shown := stripped(txn, looker, room)) is not None:
            found[room.room_id] = _type(shown.get(CREATE, {}))
    windows.remember_versions(txn, missing)
    for room_id, current in state.current_in_rooms(txn, [room.room_id for room in missing], [CREATE]).items() if missing else ():
        if (CREATE, "") in current:
            found[room_id] = kind = _type(current[CREATE, ""].event.content)
            txn.memory.put(("room type", room_id), kind or "", 200)
    return found


def _type(content: Mapping[str, Any]) -> str | None:
    kind = content.get("type")
    return kind if isinstance(kind, str) and kind else None


def _named(txn: Transaction, looker: Looker, rooms: Sequence[Listed], part: str) -> Sequence[Listed]:
    names: dict[str, list[str]] = {}
    joined = [room.room_id for room in rooms if room.membership == "join"]
    for room_id, current in state.current_in_rooms(txn, joined, [NAME, ALIAS]).items():
        names[room_id] = _names({kind: stored.event.content for (kind, _), stored in current.items()})
    for room in rooms:
        if room.membership != "join":
            names[room.room_id] = _names(stripped(txn, looker, room) or {})
    nameless = [room_id for room_id in joined if not names.get(room_id)]
    for room_id, heroes in windows.heroes(txn, looker.user, nameless, 5).items():
        names[room_id] = [hero.name or hero.user_id for hero in heroes]
    return [room for room in rooms if any(part in name.casefold() for name in names.get(room.room_id, ()))]


def _names(contents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = (contents.get(NAME, {}).get("name"), contents.get(ALIAS, {}).get("alias"))
    return [name for name in found if isinstance(name, str) and name][:1]
