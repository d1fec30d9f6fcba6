"""A room in place of another, in a newer room version: what it takes over, and what the old one is told.  Knows no settings of users.

spec: client-server-api#room-upgrades
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, Refused
from homeserver.events import lifetimes
from homeserver.events import power as powers
from homeserver.events.drafts import Draft, said
from homeserver.events.errors import Denied
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.events.power import Power
from homeserver.events.swarm.names import DEVICE
from homeserver.events.versions import RoomVersion
from homeserver.rooms import visibility
from homeserver.rooms.creation import DELIVERY
from homeserver.rooms.timeline import Timeline
from homeserver.storage import directory, events, members, rooms, state
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

CREATE, LEVELS, ALIAS = ("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.canonical_alias", "")
TOMBSTONE = "m.room.tombstone"
# State that does not depend on who sent it.  Those with other state keys than "" are parts of a space.
COPIED = (
    "m.room.join_rules", "m.room.history_visibility", "m.room.guest_access", "m.room.name", "m.room.topic", "m.room.avatar",
    "m.room.encryption", "m.room.server_acl", lifetimes.TYPE,
)  # fmt: skip
# Of the create event: what depends on the room version or on who made the room is made anew.
MADE_ANEW = frozenset({"creator", "room_version", "predecessor", "additional_creators", "mode", "invited", DEVICE})
MOST_BANS = 1000
MOST_CHILDREN = 1000
TABLES = ("users", "events", "notifications")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What is wanted: the old room, who asks on which device, the new version and, where that knows them, further creators."""

    room_id: RoomID
    user: UserID
    version: RoomVersion
    more_creators: tuple[UserID, ...]
    member_content: Mapping[str, Any]
    device: str | None = None

    @property
    def creators(self) -> tuple[UserID, ...]:
        """Who has all power in the new room by its version."""
        return (self.user, *self.more_creators) if self.version.privileged_creators else ()


@dataclass(frozen=True)
class Upgrades:
    """Replaces rooms."""

    timeline: Timeline

    async def replace(self, upgrade: Upgrade) -> RoomID:
        """Make the new room and close the old one, all in one act.  Raises `NoSuchRoom`, `Forbidden` or `Denied`.

        No room becomes a swarm: who was invited into it is not asked whether they want to be in one.
        """
        if upgrade.version.law == "swarm":
            raise Refused(400, "M_INVALID_PARAM", f"No room can become one of version {upgrade.version.id}: make one, and invite into it")
        new_id = RoomID(f"!{secrets.token_urlsafe(18)}:{self.timeline.identity.name}")
        return await self.timeline.database.write(self._replace, upgrade, new_id, self.timeline.clock.now())

    def _replace(self, txn: Transaction, upgrade: Upgrade, new_id: RoomID, now: int) -> RoomID:
        visibility.find(txn, upgrade.room_id, upgrade.user)
        old = rooms.lock(txn, upgrade.room_id)
        if old is None or old.departed or not members.is_joined(txn, old.room_id, upgrade.user):
            raise Forbidden(f"{upgrade.user} is not in room {upgrade.room_id}")
        view = state.view(txn, old.state_root, [CREATE, LEVELS])
        _require_power(old, view, upgrade.user)
        drafts = self._state(txn, old, upgrade)
        if upgrade.version.room_id_is_create_hash:
            # The new room's id is the hash of its first event, which therefore cannot name the tombstone that names the id.
            made = self._make(txn, upgrade, None, [_create(upgrade, view, None), *drafts], now)
            old, _ = self.timeline.append(txn, old, _tombstone(upgrade, made), now)
        else:
            old, stored = self.timeline.append(txn, old, _tombstone(upgrade, new_id), now)
            made = self._make(txn, upgrade, new_id, [_create(upgrade, view, stored.event.event_id), *drafts], now)
        for draft in self._closing(txn, old, view, upgrade):
            try:
                old, _ = self.timeline.append(txn, old, draft, now)
            except Denied:
                continue  # The tombstone stands; for the rest the user lacks the power.
        rooms.store(txn, old)
        directory.move(txn, old.room_id, made, upgrade.user)
        return made

    def _make(self, txn: Transaction, upgrade: Upgrade, room_id: RoomID | None, batch: list[Draft], now: int) -> RoomID:
        return self.timeline.make(txn, upgrade.version, batch, room_id, lambda txn, room_id: None, now)

    def _state(self, txn: Transaction, old: Room, upgrade: Upgrade) -> list[Draft]:
        """The events of the new room after its first.  Power levels come last: until then its maker may do everything."""
        me = upgrade.user
        drafts = [Draft("m.room.member", me, {**upgrade.member_content, "membership": "join"}, me)]
        found = state.current_of_types(txn, old.room_id, [*COPIED, ALIAS[0], LEVELS[0], "m.space.child"])
        contents = {key: _plain(stored.event.content) for key, stored in found.items()}
        drafts += [Draft(kind, me, contents[kind, ""], "") for kind in COPIED if (kind, "") in contents]
        children = [(key, content) for (kind, key), content in contents.items() if kind == "m.space.child" and content.get("via")]
        drafts += [Draft("m.space.child", me, content, key) for key, content in children[:MOST_CHILDREN]]
        moved, _ = _split_aliases(contents.get(ALIAS, {}), directory.aliases_of(txn, old.room_id))
        if moved:
            drafts.append(Draft(ALIAS[0], me, moved, ""))
        drafts += self._bans(txn, old, upgrade)
        if LEVELS in contents:
            before = powers.creators(old.version, state.view(txn, old.state_root, [CREATE])[CREATE])
            drafts.append(Draft(LEVELS[0], me, new_levels(contents[LEVELS], old.version, before, upgrade), ""))
        return drafts

    def _bans(self, txn: Transaction, old: Room, upgrade: Upgrade) -> Iterable[Draft]:
        banned = members.of_room(txn, old.room_id, ["ban"])
        if len(banned) > MOST_BANS:
            raise Refused(400, "M_TOO_LARGE", f"A room with more than {MOST_BANS} bans cannot be upgraded: lift some first")
        stored = events.by_number(txn, [member.num for member in banned])
        for member in banned:
            if member.user_id not in upgrade.creators and member.num in stored:
                reason = stored[member.num].event.content.get("reason")
                content = {"membership": "ban", **({"reason": reason} if isinstance(reason, str) else {})}
                yield Draft("m.room.member", upgrade.user, content, member.user_id)

    def _closing(self, txn: Transaction, old: Room, view: Mapping[tuple[str, str], Event], upgrade: Upgrade) -> list[Draft]:
        """What the old room is told after its tombstone: that its aliases are gone, and that nobody speaks any more."""
        drafts = []
        alias = state.current_event(txn, old.room_id, ALIAS[0])
        if alias is not None:
            moved, left = _split_aliases(alias.event.content, directory.aliases_of(txn, old.room_id))
            if moved:
                drafts.append(Draft(ALIAS[0], upgrade.user, left, "", device=upgrade.device))
        if LEVELS in view:
            before = view[LEVELS].content
            muted = muted_levels(before, old.version)
            if muted != before:
                drafts.append(Draft(LEVELS[0], upgrade.user, muted, "", device=upgrade.device))
        return drafts


def _require_power(old: Room, view: Mapping[tuple[str, str], Event], user: UserID) -> None:
    power = Power(old.version, view[CREATE], view.get(LEVELS))
    if not power.may_send(user, TOMBSTONE, is_state=True):
        needed = power.needed(TOMBSTONE, is_state=True)
        raise Forbidden(f"To upgrade this room {user} needs power {needed} and has {power.of(user)}")


def _create(upgrade: Upgrade, view: Mapping[tuple[str, str], Event], last: EventID | None) -> Draft:
    """The first event of the new room; `last` is the tombstone, where it can be named."""
    content = {key: value for key, value in view[CREATE].content.items() if key not in MADE_ANEW}
    if content.get(DELIVERY) == "ephemeral" and upgrade.version.keeps_messages:
        raise Refused(400, "M_INVALID_PARAM", "What is said in this room is not kept: that cannot be changed")
    content["room_version"] = upgrade.version.id
    content["predecessor"] = {"room_id": upgrade.room_id, **({"event_id": last} if last is not None else {})}
    if upgrade.version.creator_in_content:
        content["creator"] = upgrade.user
    if upgrade.version.privileged_creators and upgrade.more_creators:
        content["additional_creators"] = list(upgrade.more_creators)
    return Draft("m.room.create", upgrade.user, content, "")


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """What an event says, without what only rooms of its version know."""
    return said(content) if DEVICE in content else content


def _tombstone(upgrade: Upgrade, new_id: RoomID) -> Draft:
    content = {"body": "This room has been replaced", "replacement_room": new_id}
    return Draft(TOMBSTONE, upgrade.user, content, "", device=upgrade.device)


def new_levels(content: Mapping[str, Any], old: RoomVersion, creators: Iterable[str], upgrade: Upgrade) -> dict[str, Any]:
    """The power levels of the new room; `creators` made the old one."""
    levels = _integers(content, old)
    users, by_type = dict(levels.get("users", {})), dict(levels.get("events", {}))
    if upgrade.version.privileged_creators:
        for creator in upgrade.creators:
            users.pop(creator, None)
        by_type[TOMBSTONE] = max(150, by_type.get(TOMBSTONE, 150))
    elif old.privileged_creators:
        # What nobody could take from them in the old room is the highest level there is in the new one.
        highest = max([100, *users.values()])
        users |= dict.fromkeys([*creators, upgrade.user], highest)
    return {**levels, "users": users, "events": by_type}


def muted_levels(content: Mapping[str, Any], version: RoomVersion) -> dict[str, Any]:
    """The power levels of the old room, so that only its moderators can still speak and invite."""
    quiet = max(50, (powers.level(version, content.get("users_default")) or 0) + 1)
    loud = {name: powers.level(version, content.get(name)) or 0 for name in ("events_default", "invite")}
    return {**content, **{name: quiet for name, level in loud.items() if level < quiet}}


def _integers(content: Mapping[str, Any], version: RoomVersion) -> dict[str, Any]:
    """Power levels with every level an integer, as newer versions want it; what was none is left out."""
    plain = {name: level for name in powers.DEFAULTS if (level := powers.level(version, content.get(name))) is not None}
    tables = {
        name: {key: level for key, value in table.items() if (level := powers.level(version, value)) is not None}
        for name in TABLES
        if isinstance(table := content.get(name), dict)
    }
    known = {*powers.DEFAULTS, *TABLES}
    return {**{key: value for key, value in content.items() if key not in known}, **plain, **tables}


def _split_aliases(content: Mapping[str, Any], moving: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A canonical alias event's content, of the aliases that move and of those that stay."""
    ours = set(moving)
    alias, others = content.get("alias"), content.get("alt_aliases")
    listed = [one for one in others if isinstance(one, str)] if isinstance(others, list) else []
    moved: dict[str, Any] = {"alias": alias} if alias in ours else {}
    left: dict[str, Any] = {"alias": alias} if isinstance(alias, str) and alias not in ours else {}
    for part, wanted in ((moved, [one for one in listed if one in ours]), (left, [one for one in listed if one not in ours])):
        if wanted:
            part["alt_aliases"] = wanted
    return moved, left
