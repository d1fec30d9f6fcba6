"""Changing a user's push rules as an act, and showing them.  Decides nothing itself: `push.rules` does."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from homeserver.errors import Refused
from homeserver.events.identifiers import UserID
from homeserver.push import rules, verdicts
from homeserver.push.rules import NO_RULES, Ruleset
from homeserver.storage import push_rules
from homeserver.storage.push_rules import Words
from homeserver.storage.transactions import Transaction

ANY_NAME = "%name%"
ANYBODY = f"@{ANY_NAME}:%server%"
# The rules of who changed nothing, as JSON, in pieces: between them stands who it is.
NOBODYS_RULES = re.split(f"({ANYBODY}|{ANY_NAME})".encode(), orjson.dumps(NO_RULES.shown(ANYBODY)))


def of_user(txn: Transaction, user_id: str) -> Ruleset:
    """The rules of a user."""
    found = push_rules.get(txn, user_id)
    return rules.load(found[1]) if found else NO_RULES


def shown(txn: Transaction, user_id: str) -> dict[str, Any]:
    """The content of the user's `m.push_rules`."""
    return of_user(txn, user_id).shown(user_id)


def encoded(raw: bytes | None, user_id: str) -> bytes:
    """The same as JSON, of stored rules that are at hand; None for a user who changed nothing."""
    if raw is not None:
        return orjson.dumps(rules.load(raw).shown(user_id))
    user, name = (orjson.dumps(text)[1:-1] for text in (user_id, UserID(user_id).localpart))
    said = {ANYBODY.encode(): user, ANY_NAME.encode(): name}
    return b"".join([said.get(piece, piece) for piece in NOBODYS_RULES])


def shown_if_changed(txn: Transaction, user_id: str, ranges: Iterable[tuple[int, int]]) -> dict[str, Any] | None:
    """The content of `m.push_rules` if it changed within the stream intervals `(low, high]`, for an incremental sync."""
    return shown(txn, user_id) if any(push_rules.changed(txn, user_id, low, high) for low, high in ranges) else None


def edit(txn: Transaction, user_id: str, change: Callable[[Ruleset], Ruleset]) -> None:
    """Change the rules of a user; their syncs are woken.  Raises what `change` raises."""
    found = push_rules.lock(txn, user_id)
    old = rules.load(found[1]) if found else NO_RULES
    new = change(old)
    push_rules.put(txn, user_id, new.dump(), keywords(new))


def carry_over(txn: Transaction, user_id: str, old_room: str, new_room: str) -> None:
    """What a user wanted of a room they want of the one that replaces it: they need not mute it again."""
    found = push_rules.get(txn, user_id)
    if found is None:
        return
    old = rules.load(found[1])
    try:
        new = old.carried_over(old_room, new_room)
    except Refused:  # they have as many rules as there may be
        return
    if new is not old:
        push_rules.put(txn, user_id, new.dump(), keywords(new))


def keywords(ruleset: Ruleset) -> frozenset[Words]:
    """The words by which messages find this user."""
    return verdicts.compiled(ruleset).keywords
