"""Whether a local user wants to be invited by somebody.  Pure.  spec: client-server-api#invite-permission, MSC4155 for the lists"""

from collections.abc import Iterable, Mapping
from typing import Any

from homeserver.errors import Refused
from homeserver.events.identifiers import UserID
from homeserver.push import globs

CONFIG = "m.invite_permission_config"
LISTS = "org.matrix.msc4155.invite_permission_config"


class InviteBlocked(Refused):
    """The invited user does not take invites from this one."""

    def __init__(self, user: UserID) -> None:
        super().__init__(403, "M_INVITE_BLOCKED", f"{user} does not accept this invite")


def is_blocked(config: Mapping[str, Any], lists: Mapping[str, Any], inviter: UserID) -> bool:
    """Whether the account data `CONFIG` or `LISTS` of a user blocks invites of `inviter`."""
    return config.get("default_action") == "block" or _listed(lists, inviter) == "block"


def is_ignored(lists: Mapping[str, Any], inviter: UserID) -> bool:
    """Whether invites of `inviter` are to be dropped without a word."""
    return _listed(lists, inviter) == "ignore"


def _listed(lists: Mapping[str, Any], inviter: UserID) -> str | None:
    if lists.get("enabled", True) is not True:
        return None
    for kind, subject in (("users", str(inviter)), ("servers", str(inviter.domain))):
        for action, verdict in (("allowed", "allow"), ("ignored", "ignore"), ("blocked", "block")):
            if any(globs.compiled(pattern).is_whole(subject) for pattern in _patterns(lists.get(f"{action}_{kind}"))):
                return verdict
    return None


def _patterns(listed: object) -> Iterable[str]:
    return [pattern for pattern in listed if isinstance(pattern, str)] if isinstance(listed, list) else []
