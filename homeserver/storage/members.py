"""Memberships as they stand now, and how those of local users changed.  Knows no rule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.storage import feed
from homeserver.storage.events import Stored
from homeserver.storage.transactions import Transaction

DECLINED = 2  # of `members.forgotten`: an invite, and all that follow it, that its user does not want to hear of


@dataclass(frozen=True, slots=True)
class Member:
    """The membership of one user in one room."""

    room_id: RoomID
    user_id: UserID
    membership: str
    sender: UserID
    num: int
    event_id: str
    position: int
    display_name: str | None
    avatar_url: str | None
    forgotten: bool


def set_member(txn: Transaction, stored: Stored, position: int, *, local: bool) -> str | None:
    """Write a user's membership from the member event that now stands; answers the membership before it."""
    user = UserID(stored.key[1])
    return set_members(txn, stored.event.room_id, [stored], position, user.domain if local else None).get(user)


def set_members(txn: Transaction, room_id: str, batch: Sequence[Stored], position: int, own: str | None) -> dict[UserID, str]:
    """Write memberships from the member events that now stand, one of each user; the memberships before, of those who had one.

    `own` is the name of this server: how memberships of its users change is kept.
    """
    users = [UserID(stored.key[1]) for stored in batch]
    if not users:
        return {}
    feed.concern(txn, position, (room_id, *users))
    before: dict[UserID, str] = {}
    declined: set[str] = set()
    for user, membership, forgotten in txn.all(
        "SELECT user_id, membership, forgotten FROM members WHERE room_id = :room AND user_id IN :users", room=room_id, users=users
    ):
        before[UserID(user)] = membership
        if forgotten == DECLINED:
            declined.add(user)
    rows = [_row(stored, user, before.get(user), position, own) for user, stored in zip(users, batch, strict=True)]
    txn.many(
        "INSERT INTO members (room_id, user_id, membership, previous, sender, num, event_id, position, server, local, display_name,"
        " avatar_url, forgotten) VALUES (:room, :user, :membership, :previous, :sender, :num, :id, :position, :server, :local, :name,"
        " :avatar, 0) ON CONFLICT (room_id, user_id) DO UPDATE SET membership = excluded.membership, previous = excluded.previous,"
        " sender = excluded.sender, num = excluded.num, event_id = excluded.event_id, position = excluded.position,"
        " display_name = excluded.display_name, avatar_url = excluded.avatar_url,"
        " forgotten = CASE WHEN excluded.membership IN ('leave', 'ban') OR (excluded.membership = 'invite' AND members.forgotten = 2)"
        " THEN members.forgotten ELSE 0 END",
        rows,
    )
    local = [row for row in rows if row["local"] and not (row["user"] in declined and row["membership"] in ("invite", "leave", "ban"))]
    txn.many(
        "INSERT INTO membership_changes (user_id, position, room_id, membership, previous, num)"
        " VALUES (:user, :position, :room, :membership, :previous, :num)"
        " ON CONFLICT (user_id, position, room_id) DO UPDATE SET membership = excluded.membership, num = excluded.num",
        [{name: row[name] for name in ("user", "position", "room", "membership", "previous", "num")} for row in local],
    )
    if local:
        txn.wake(*[str(row["user"]) for row in local], "memberships")
    return before


def _row(stored: Stored, user: UserID, previous: str | None, position: int, own: str | None) -> dict[str, object]:
    event, server = stored.event, user.domain
    name, avatar = event.content.get("displayname"), event.content.get("avatar_url")
    return {
        "room": event.room_id,
        "user": user,
        "membership": event.membership or "leave",
        "previous": previous,
        "sender": event.sender,
        "num": stored.num,
        "id": event.event_id,
        "position": position,
        "server": server,
        "local": int(server == own),
        "name": name if isinstance(name, str) and "\0" not in name else None,
        "avatar": avatar if isinstance(avatar, str) and "\0" not in avatar else None,
    }


def count_servers(txn: Transaction, room_id: str, changes: Mapping[str, int]) -> dict[str, int]:
    """Add to the numbers of joined members that servers have in a room that is locked; answers the new numbers."""
    sql = "SELECT server, joined FROM room_servers WHERE room_id = :room AND server IN :servers"
    before: dict[str, int] = dict(txn.all(sql, room=room_id, servers=list(changes)))
    counts = {server: before.get(server, 0) + change for server, change in changes.items()}
    txn.many(
        "INSERT INTO room_servers (room_id, server, joined) VALUES (:room, :server, :joined)"
        " ON CONFLICT (room_id, server) DO UPDATE SET joined = excluded.joined",
        [{"room": room_id, "server": server, "joined": count} for server, count in counts.items()],
    )
    return counts


def count_own_server(txn: Transaction, room_id: str, server: str, change: int) -> None:
    """Add to the number of joined members that this server has in the room, which nobody needs at once."""
    txn.later(
        "INSERT INTO room_servers (room_id, server, joined) VALUES (:room, :server, :change)"
        " ON CONFLICT (room_id, server) DO UPDATE SET joined = room_servers.joined + excluded.joined",
        room=room_id, server=server, change=change,
    )  # fmt: skip


def made(row: tuple[Any, ...]) -> Member:
    """The membership of a row with the columns that `get` asks for."""
    room, user, membership, sender, num, event_id, position, name, avatar, forgotten = row
    return Member(RoomID(room), UserID(user), membership, UserID(sender), num, event_id, position, name, avatar, bool(forgotten))


def get(txn: Transaction, room_id: str, user_id: str) -> Member | None:
    """The membership of a user in a room; None if there never was one."""
    row = txn.one(
        "SELECT room_id, user_id, membership, sender, num, event_id, position, display_name, avatar_url, forgotten"
        " FROM members WHERE room_id = :room AND user_id = :user",
        room=room_id, user=user_id,
    )  # fmt: skip
    return None if row is None else made(row)


def of_room(txn: Transaction, room_id: str, memberships: Iterable[str]) -> list[Member]:
    """The members of a room with one of these memberships, in the order in which they came to it."""
    rows = txn.all(
        "SELECT room_id, user_id, membership, sender, num, event_id, position, display_name, avatar_url, forgotten"
        " FROM members WHERE room_id = :room AND membership IN :memberships ORDER BY position, num",
        room=room_id, memberships=list(memberships),
    )  # fmt: skip
    return [made(row) for row in rows]


def of_user(txn: Transaction, user_id: str, memberships: Iterable[str]) -> list[Member]:
    """The rooms of a user with one of these memberships."""
    rows = txn.all(
        "SELECT room_id, user_id, membership, sender, num, event_id, position, display_name, avatar_url, forgotten"
        " FROM members WHERE user_id = :user AND membership IN :memberships",
        user=user_id, memberships=list(memberships),
    )  # fmt: skip
    return [made(row) for row in rows]


def joined_rooms(txn: Transaction, user_id: str) -> list[RoomID]:
    """The rooms that a user is joined to."""
    return [RoomID(room) for (room,) in txn.all("SELECT room_id FROM members WHERE user_id = :user AND membership = 'join'", user=user_id)]


def joined_rooms_of_version(txn: Transaction, user_id: str, version: str) -> list[RoomID]:
    """Those of one version."""
    rows = txn.all(
        "SELECT members.room_id FROM members JOIN rooms ON rooms.room_id = members.room_id"
        " WHERE members.user_id = :user AND members.membership = 'join' AND rooms.version = :version ORDER BY members.position",
        user=user_id, version=version,
    )  # fmt: skip
    return [RoomID(room) for (room,) in rows]


def present(txn: Transaction, room_ids: Sequence[str]) -> dict[str, list[UserID]]:
    """Who is joined to small rooms or invited, in the order in which they came."""
    found: dict[str, list[UserID]] = {room_id: [] for room_id in room_ids}
    sql = "SELECT room_id, user_id FROM members WHERE room_id IN :rooms AND membership IN ('join', 'invite') ORDER BY position, num"
    for room_id, user in txn.all(sql, rooms=list(room_ids)) if room_ids else ():
        found[room_id].append(UserID(user))
    return found


def is_joined(txn: Transaction, room_id: str, user_id: str) -> bool:
    """Whether the user is joined to the room."""
    return bool(txn.value("SELECT membership FROM members WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id) == "join")


def local_joined(txn: Transaction, room_id: str) -> list[UserID]:
    """Local users who are joined to the room."""
    return [
        UserID(user)
        for (user,) in txn.all("SELECT user_id FROM members WHERE room_id = :room AND membership = 'join' AND local = 1", room=room_id)
    ]


def any_local_joined(txn: Transaction, room_id: str) -> bool:
    """Whether some local user is joined to the room."""
    return txn.value("SELECT 1 FROM members WHERE room_id = :room AND membership = 'join' AND local = 1 LIMIT 1", room=room_id) is not None


def server_takes_part(txn: Transaction, room_id: str, server: str) -> bool:
    """Whether a user of `server` is joined to the room or invited."""
    return (
        txn.value(
            "SELECT 1 FROM members WHERE room_id = :room AND server = :server AND membership IN ('join', 'invite') LIMIT 1",
            room=room_id, server=server,
        )
        is not None
    )  # fmt: skip


def servers_sharing(txn: Transaction, user_id: str) -> list[ServerName]:
    """Servers with a joined member in a room that `user_id` is joined to."""
    return [
        ServerName(server)
        for (server,) in txn.all(
            "SELECT DISTINCT room_servers.server FROM members JOIN room_servers ON room_servers.room_id = members.room_id"
            " AND room_servers.joined > 0 WHERE members.user_id = :user AND members.membership = 'join'",
            user=user_id,
        )
    ]


def changes_of_user(txn: Transaction, user_id: str, low: int, high: int) -> list[tuple[int, RoomID, str, str | None, int]]:
    """(position, room, membership, the one before, event number) of a local user, `low < position <= high`, oldest first."""
    return [
        (position, RoomID(room), membership, previous, num)
        for position, room, membership, previous, num in txn.all(
            "SELECT position, room_id, membership, previous, num FROM membership_changes"
            " WHERE user_id = :user AND position > :low AND position <= :high ORDER BY position",
            user=user_id, low=low, high=high,
        )
    ]  # fmt: skip


def forget(txn: Transaction, room_id: str, user_id: str) -> None:
    """The user no longer wants to see the room they left."""
    txn.later("UPDATE members SET forgotten = 1 WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)


def decline(txn: Transaction, leave: Stored) -> None:
    """A local user wants to hear no more of the invite that they have, nor of later ones to this room.

    That shows nowhere but to them, as if they had left (`leave`, which stands in no room): the membership remains as it is.
    """
    room_id, user, position = leave.event.room_id, leave.key[1], txn.position(leave.key[1])
    hear_no_more(txn, room_id, user)
    txn.run(
        "INSERT INTO membership_changes (user_id, position, room_id, membership, previous, num)"
        " VALUES (:user, :position, :room, 'leave', 'invite', :num)",
        user=user, position=position, room=room_id, num=leave.num,
    )  # fmt: skip
    txn.wake(user)


def hear_no_more(txn: Transaction, room_id: str, user_id: str) -> None:
    """The user wants to hear of no invite to this room, and not to see it."""
    sql = "UPDATE members SET forgotten = :declined WHERE room_id = :room AND user_id = :user"
    txn.run(sql, declined=DECLINED, room=room_id, user=user_id)


def has_declined(txn: Transaction, room_id: str, user_id: str) -> bool:
    """Whether the user wants to hear of no invite to this room."""
    found = txn.value("SELECT forgotten FROM members WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)
    return bool(found == DECLINED)


def set_invitation(
    txn: Transaction, room_id: str, user_id: str, version: str, stripped: Sequence[object], candidates: Sequence[str], event: bytes | None
) -> None:
    """Remember what a local user was shown of a room elsewhere, and whom to ask about it."""
    txn.run(
        "INSERT INTO remote_invitations (room_id, user_id, version, stripped, candidates, event)"
        " VALUES (:room, :user, :version, :stripped, :candidates, :event) ON CONFLICT (room_id, user_id) DO UPDATE SET"
        " version = excluded.version, stripped = excluded.stripped, candidates = excluded.candidates, event = excluded.event",
        room=room_id, user=user_id, version=version, stripped=orjson.dumps(list(stripped)), candidates=orjson.dumps(list(candidates)),
        event=event,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Invitation:
    """What `set_invitation` remembered."""

    version: str
    stripped: list[dict[str, object]]
    candidates: list[ServerName]
    event: bytes | None


def invitation(txn: Transaction, room_id: str, user_id: str) -> Invitation | None:
    """What a local user was shown of a room, if it was an invite or knock from elsewhere."""
    row = txn.one(
        "SELECT version, stripped, candidates, event FROM remote_invitations WHERE room_id = :room AND user_id = :user",
        room=room_id, user=user_id,
    )  # fmt: skip
    if row is None:
        return None
    version, stripped, candidates, event = row
    return Invitation(
        version,
        orjson.loads(bytes(stripped)),
        [ServerName(server) for server in orjson.loads(bytes(candidates))],
        None if event is None else bytes(event),
    )


def asked_about(txn: Transaction, room_id: str) -> set[ServerName]:
    """The servers that could be asked about a room elsewhere, by invites and knocks of local users."""
    rows = txn.all("SELECT candidates FROM remote_invitations WHERE room_id = :room LIMIT 100", room=room_id)
    return {ServerName(server) for (candidates,) in rows for server in orjson.loads(bytes(candidates))}


def drop_invitation(txn: Transaction, room_id: str, user_id: str) -> None:
    """The user joined, or the invitation is void."""
    txn.later("DELETE FROM remote_invitations WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)
