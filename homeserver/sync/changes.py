"""What changed for one device since its token: read in one transaction, as plain data.  Knows no JSON."""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from homeserver.events.identifiers import RoomID, UserID
from homeserver.push import editing
from homeserver.relations import bundling
from homeserver.rooms import places, presenting, visibility
from homeserver.rooms.stripped import stripped_state
from homeserver.storage import account_data, events, lines, members, rooms, state
from homeserver.storage.belongings import Belongings
from homeserver.storage.events import Stored
from homeserver.storage.lines import Line
from homeserver.storage.positions import Token
from homeserver.storage.transactions import Transaction
from homeserver.sync import room as parts
from homeserver.sync import whole
from homeserver.sync.room import Span
from homeserver.sync.selection import Selection, passes, wants_room
from homeserver.sync.telling import Changes, Offered, Question, RoomChanges, Summary

HEROES = 5
Entry = tuple[str, str, bytes]  # room id (or ''), type, content


@dataclass(frozen=True, slots=True)
class _Move:
    """How the user's membership in a room changed: where it began, what it is now, whether they were out in between."""

    began: str | None
    now: str
    num: int
    interrupted: bool

    @property
    def fresh(self) -> bool:
        """Whether a client that followed the user knows nothing of the room as it is now."""
        return self.began != "join" or self.interrupted


def read(txn: Transaction, question: Question, upto: Token, own: Belongings | None) -> Changes:
    """What happened after `question.since` up to `upto`; everything, where there is no token: then what the user has was read before."""
    user, since = question.viewer.user_id, question.since
    data = _account_data(txn, user, since or Token(), upto) if own is None else _all_account_data(user, own)
    moves = _moves(txn, user, since, upto) if since is not None else {}
    joined = members.joined_rooms(txn, user) if own is None else [RoomID(room) for room, membership, _ in own.rooms if membership == "join"]
    touched = set(joined) if since is None else _touched(txn, joined, since, upto)
    fresh = {room for room in joined if since is None or ((move := moves.get(room)) is not None and move.fresh)}
    wanted = [room for room in joined if room in fresh and _wanted(question, room)]
    told = whole.tell(txn, question, upto, wanted, data if since is None else None)
    changed = []
    for room_id in joined:
        if room_id in told:
            changed.append(told[room_id])
        elif (room_id in fresh or room_id in touched or question.selection.full_state) and _wanted(question, room_id):
            span = Span(room_id, None if room_id in fresh else since, upto)
            changed.append(of_room(txn, question, span, data.get(room_id, [])))
    known = {room.room_id for room in changed}
    quiet = {room: _passing(question, entries) for room, entries in data.items() if room not in known and _wanted(question, room)}
    gone = [(room, move.now, move.num) for room, move in moves.items()] if own is None else own.rooms
    others = [one for one in gone if one[1] != "join" and _wanted(question, one[0])]
    return Changes(
        upto,
        changed,
        [left for member in others if member[1] in ("leave", "ban") for left in _left(txn, question, member, moves, upto)],
        [found for member in others if member[1] == "invite" for found in _offered(txn, question, member)],
        [found for member in others if member[1] == "knock" for found in _offered(txn, question, member)],
        data.get("", []),
        frozenset(joined),
        {room: quiet[room] for room in joined if quiet.get(room)},
    )


def _wanted(question: Question, room_id: str) -> bool:
    return wants_room(question.selection.rooms, room_id)


def _passing(question: Question, entries: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [entry for entry in entries if passes(question.selection.rooms.account_data, entry[0], "")]


def _account_data(txn: Transaction, user: str, since: Token, upto: Token) -> dict[str, list[tuple[str, bytes]]]:
    rows = [row for low, high in since.ranges(upto) for row in account_data.changes(txn, user, low, high)]
    push_rules = editing.shown_if_changed(txn, user, since.ranges(upto))
    return _by_room(rows, None if push_rules is None else orjson.dumps(push_rules))


def _all_account_data(user: str, own: Belongings) -> dict[str, list[tuple[str, bytes]]]:
    return _by_room(own.data, editing.encoded(own.rules, user))


def _by_room(rows: Iterable[Entry], push_rules: bytes | None) -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {}
    for room_id, kind, content in rows:
        found.setdefault(room_id, []).append((kind, content))
    if push_rules is not None:
        found.setdefault("", []).append(("m.push_rules", push_rules))
    return found


def _moves(txn: Transaction, user: UserID, since: Token, upto: Token) -> dict[str, _Move]:
    moves: dict[str, _Move] = {}
    for low, high in since.ranges(upto):
        for _, room_id, membership, previous, num in members.changes_of_user(txn, user, low, high):
            before = moves.get(room_id)
            began = before.began if before is not None else previous
            out = membership != "join" or (before is not None and before.interrupted)
            moves[room_id] = _Move(began, membership, num, out)
    return moves


def _touched(txn: Transaction, joined: Iterable[str], since: Token, upto: Token) -> set[str]:
    """Those of the rooms in which something happened that `/sync` shows."""
    wanted = set(joined)
    found: set[str] = set()
    for low, high in since.ranges(upto):
        for sql in (
            "SELECT DISTINCT room_id FROM events WHERE position > :low AND position <= :high",
            "SELECT DISTINCT room_id FROM state_changes WHERE position > :low AND position <= :high",
        ):
            found |= {room_id for (room_id,) in txn.all(sql, low=low, high=high)}
    return found & wanted


def of_room(txn: Transaction, question: Question, span: Span, data: list[tuple[str, bytes]]) -> RoomChanges:
    """What is told of one room that the user is joined to; `data` is what changed of their account data there."""
    viewer, selection = question.viewer, question.selection
    room = rooms.get(txn, span.room_id)
    assert room is not None
    whole = span.since is None
    shown = parts.timeline(txn, viewer.user_id, span, selection, limit=selection.limit, check=False)
    senders = {line.sender for line in shown.events}
    lazy = senders | {viewer.user_id} if selection.lazy else None
    complete = whole or selection.full_state
    if selection.state_after:
        before = _state_after(txn, room, span, lazy, complete)
    elif complete:
        before = parts.state_in_front(txn, room, shown, lazy)
    else:
        before = parts.state_between(txn, span, shown)
    members_changed = whole or any(line.type == "m.room.member" for line in [*shown.events, *before])
    if lazy is not None and not complete:
        known = {line.key for line in before}
        before += [line for line in _introductions(txn, room, shown, selection) if line.key not in known]
    about = bundling.bundles(txn, viewer, shown.events, selection.ignored)
    return RoomChanges(
        span.room_id,
        presenting.present(txn, viewer, shown.events, room_id=False, relations=about),
        # Who comes to a room while following others has seen nothing of it: there is always more in front.
        shown.limited or (whole and question.since is not None),
        places.text(shown.before, span.upto),
        presenting.shared(txn, [one for one in before if selection.state(one)], room_id=False),
        selection.state_after,
        _summary(txn, room, viewer.user_id, whole) if members_changed else None,
        account_data.of_room(txn, viewer.user_id, span.room_id) if whole else data,
        whole,
        frozenset(senders) if lazy is not None else frozenset(),
    )


def _state_after(txn: Transaction, room: rooms.Room, span: Span, lazy: set[str] | None, whole: bool) -> list[Line]:
    if whole:
        return parts.full_state(txn, room, room.state_root, lazy)
    changed = [num for num in parts.state_changes(txn, span).values() if num is not None]
    return list(lines.by_number(txn, changed).values())


def _introductions(txn: Transaction, room: rooms.Room, shown: parts.Timeline, selection: Selection) -> list[Line]:
    """The memberships of who has sent something, for clients that load members only then."""
    senders = {line.sender for line in shown.events}
    if not selection.state_after:
        return parts.member_events(txn, room, shown, senders)
    nums = state.numbers(txn, room.state_root, [("m.room.member", user) for user in senders])
    return list(lines.by_number(txn, nums.values()).values())


def _left(
    txn: Transaction, question: Question, other: tuple[str, str, int], moves: dict[str, _Move], upto: Token
) -> Iterable[RoomChanges]:
    """The room as it was when the user left it, or the bare leave where the room itself is not here."""
    room_id, _, num = other
    viewer, selection = question.viewer, question.selection
    last = events.by_number(txn, [num]).get(num)
    room = rooms.get(txn, room_id)
    if last is None:
        return
    move = moves.get(room_id)
    was_in = move is not None and move.began == "join"
    if room is None or last.order is None or not (was_in or visibility.standing(txn, room_id, viewer.user_id).left_at):
        bare = presenting.present(txn, viewer, [last.line], room_id=False)
        yield RoomChanges(room_id, bare, False, places.text((0, 0)), [], False, None, [], False)
        return
    span = Span(room_id, question.since if was_in else None, upto, last.order)
    shown = parts.timeline(txn, viewer.user_id, span, selection, limit=selection.limit, check=True)
    senders = {line.sender for line in shown.events}
    lazy = senders | {viewer.user_id} if selection.lazy else None
    if last.state_after is not None and (selection.state_after or not shown.events):
        before = parts.full_state(txn, room, last.state_after, lazy)
    elif was_in:
        before = _until(txn, parts.state_between(txn, span, shown), last)
    else:
        before = parts.state_in_front(txn, room, shown, lazy)
    yield RoomChanges(
        room_id,
        presenting.present(txn, viewer, shown.events, room_id=False),
        shown.limited,
        places.text(shown.before, upto),
        presenting.shared(txn, [one for one in before if selection.state(one)], room_id=False),
        selection.state_after,
        None,
        [],
        False,
    )


def _until(txn: Transaction, changed: list[Line], last: Stored) -> list[Line]:
    """Of the changes of the state those that had happened when the user left: what came later is not theirs to see."""
    if last.state_after is None:
        return []
    then = state.numbers(txn, last.state_after, [line.key for line in changed])
    return [line for line in changed if then.get(line.key) == line.num]


def _offered(txn: Transaction, question: Question, other: tuple[str, str, int]) -> Iterable[Offered]:
    room_id, _, num = other
    last = events.by_number(txn, [num]).get(num)
    if last is not None and last.event.sender not in question.selection.ignored:
        yield offered(txn, question.viewer.user_id, room_id, last)


def offered(txn: Transaction, user: str, room_id: str, last: Stored) -> Offered:
    """What a user is shown of a room that they are invited to or knock at, `last` being their membership there."""
    invitation = members.invitation(txn, room_id, user)
    shown = invitation.stripped if invitation is not None else stripped_state(txn, room_id)
    own = [event for event in shown if not (event.get("type") == "m.room.member" and event.get("state_key") == user)]
    return Offered(room_id, [*own, presenting.plain(last)])


def _summary(txn: Transaction, room: rooms.Room, user: UserID, whole: bool) -> Summary:
    named = state.current_of_types(txn, room.room_id, ["m.room.name", "m.room.canonical_alias"])
    if any(stored.event.content.get(key) for stored in named.values() for key in ("name", "alias")):
        return Summary(None, room.joined_members, room.invited_members)
    return Summary(heroes(txn, room.room_id, user), room.joined_members, room.invited_members)


def heroes(txn: Transaction, room_id: str, user: str) -> list[str]:
    """The first few others in the room; who has left it, where nobody else is there."""
    for memberships in (["join", "invite"], ["leave", "ban"]):
        rows = txn.all(
            "SELECT user_id FROM members WHERE room_id = :room AND membership IN :memberships AND user_id <> :user"
            " ORDER BY position, num LIMIT :most",
            room=room_id, memberships=memberships, user=user, most=HEROES,
        )  # fmt: skip
        if rows:
            return [found for (found,) in rows]
    return []
