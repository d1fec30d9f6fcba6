"""The profile of a swarm, and the name, topic and avatar that show it to clients which know no profile.  Knows no levels.

The four are one: whoever sets one of them sets all.  So of two profiles that are set at the same time one wins, and it is shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from homeserver.events.drafts import Draft, said
from homeserver.events.errors import Denied
from homeserver.events.event import Event, Key
from homeserver.events.standing import State
from homeserver.events.swarm.admins import check_admin
from homeserver.events.swarm.names import PROFILE, SHOWING

KEY: Key = (PROFILE, "")
# What of the profile an event shows, and in which field.
FIELDS: Mapping[str, tuple[str, str]] = {
    "m.room.name": ("title", "name"),
    "m.room.topic": ("description", "topic"),
    "m.room.avatar": ("avatar", "url"),
}
KEYS: tuple[Key, ...] = (KEY, *((kind, "") for kind in FIELDS))


def check_showing(event: Event, state: State) -> None:
    """Return if an admin shows the profile that there is, else raise `Denied`.  What of it is not compared: redactions take that."""
    check_admin(event, state)
    profile = state.get(KEY)
    if profile is None or event.content.get(PROFILE) != profile.event_id:
        raise Denied(f"{event.type} names the profile that it shows, and this one is not the room's")


def together(state: Mapping[Key, Event], draft: Draft) -> list[Draft]:
    """What is written where somebody sets one of the four: the profile, and after it what shows it."""
    contents = {key: event.content for key, event in state.items()}
    profile = edited(contents, draft.type, draft.content)
    wanted = {} if draft.type == PROFILE else {draft.type: draft.content}
    return [replace(draft, type=kind, content=content) for kind, content in ((PROFILE, profile), *showing(contents, profile, wanted))]


def naming(state: State, draft: Draft) -> Draft:
    """The draft, with the profile that it shows, where it shows one."""
    if draft.type not in SHOWING or KEY not in state:
        return draft
    return replace(draft, content={**draft.content, PROFILE: state[KEY].event_id})


def edited(state: Mapping[Key, Mapping[str, Any]], kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that somebody means who sets an event of this kind to this content.  `state`: contents that there are, by key."""
    if kind == PROFILE:
        return said(content)
    part, name = FIELDS[kind]
    value = content.get(name)
    profile = {key: old for key, old in said(state.get(KEY, {})).items() if key != part}
    return {**profile, part: value} if value else profile


def showing(
    state: Mapping[Key, Mapping[str, Any]], profile: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(type, content) of what shows a profile, but for the field that names it.  `wanted`: contents as their sender wants them, by type."""
    for kind, (part, name) in FIELDS.items():
        value = profile.get(part)
        before = state.get((kind, ""))
        if kind in wanted:
            yield kind, said(wanted[kind])
        elif before is not None and before.get(name) == value:
            yield kind, said(before)
        elif before is not None or value is not None:
            yield kind, _shown(kind, name, value)


def _shown(kind: str, name: str, value: Any) -> dict[str, Any]:
    if kind == "m.room.avatar":
        return {} if value is None else {name: value}
    text = "" if value is None else value
    return {name: text, **({"m.topic": {"m.text": [{"body": text, "mimetype": "text/plain"}]}} if kind == "m.room.topic" else {})}


def is_profile(kind: str, state_key: str | None) -> bool:
    """Whether an event is the profile, or shows it."""
    return state_key == "" and (kind == PROFILE or kind in SHOWING)
