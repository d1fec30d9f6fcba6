"""The push rules of users, compiled, from memory where their version is known there."""

from collections.abc import Iterable

from homeserver.push import rules, verdicts
from homeserver.push.verdicts import Compiled
from homeserver.storage import push_rules
from homeserver.storage.transactions import Transaction


def rules_of(txn: Transaction, user_ids: Iterable[str]) -> dict[str, Compiled]:
    """The compiled rules of each of the users."""
    users = list(user_ids)
    found = dict.fromkeys(users, verdicts.DEFAULT)
    missing = []
    for user, version in push_rules.versions(txn, users).items():
        known = txn.memory.get(("push rules", user, version))
        if known is None:
            missing.append(user)
        else:
            found[user] = known
    if missing:
        for user, (version, raw) in push_rules.several(txn, missing).items():
            found[user] = verdicts.compiled(rules.load(raw))
            txn.memory.put(("push rules", user, version), found[user], 20_000 + 10 * len(raw))
    return found
