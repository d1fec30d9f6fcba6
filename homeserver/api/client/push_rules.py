"""Push rules.  spec: client-server-api#push-rules-api"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.push import editing
from homeserver.push.conditions import Reader
from homeserver.push.rules import Rule, Ruleset, known_kind
from homeserver.storage.database import Database
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, put

ALL = "/_matrix/client/v3/pushrules"
ONE = ALL + "/global/{kind}/{rule_id}"


class NewRule(msgspec.Struct):
    """A rule of a user's own."""

    actions: list[Any]
    conditions: list[dict[str, Any]] | None = None
    pattern: str | None = None


class Place(msgspec.Struct):
    """Next to which other rule it shall stand."""

    before: str | None = None
    after: str | None = None


class Enabled(msgspec.Struct):
    """Whether a rule is switched on."""

    enabled: bool


class Actions(msgspec.Struct):
    """What a rule does."""

    actions: list[Any]


@dataclass(frozen=True)
class PushRules:
    """The rules by which a user is notified."""

    database: Database

    @get(ALL, guests=True)
    async def all(self, caller: Caller) -> dict[str, Any]:
        """All rules."""
        return await self.database.read(editing.shown, caller.user_id)

    @get(ALL + "/global", guests=True)
    async def of_the_account(self, caller: Caller) -> dict[str, Any]:
        """All rules of the only set there is."""
        shown: dict[str, Any] = (await self.all(caller))["global"]
        return shown

    @get(ALL + "/global/{kind}", guests=True)
    async def of_kind(self, caller: Caller, kind: str) -> list[dict[str, Any]]:
        """All rules of one kind."""
        shown: list[dict[str, Any]] = (await self.of_the_account(caller))[known_kind(kind)]
        return shown

    @get(ONE, guests=True)
    async def rule(self, caller: Caller, kind: str, rule_id: str) -> dict[str, Any]:
        """One rule."""
        return (await self._find(caller, kind, rule_id)).shown(Reader(caller.user_id))

    @put(ONE, limit="message")
    async def set_rule(self, caller: Caller, kind: str, rule_id: str, query: Place, body: NewRule) -> None:
        """Add or change a rule of one's own."""
        conditions = tuple(body.conditions or ()) if kind in ("override", "underride") else ()
        rule = Rule(kind, rule_id, tuple(body.actions), conditions, body.pattern if kind == "content" else None)
        await self._edit(caller, lambda rules: rules.put(rule, query.before, query.after))

    @delete(ONE, limit="message")
    async def remove(self, caller: Caller, kind: str, rule_id: str) -> None:
        """Remove a rule of one's own."""
        await self._edit(caller, lambda rules: rules.delete(kind, rule_id))

    @get(ONE + "/enabled", guests=True)
    async def enabled(self, caller: Caller, kind: str, rule_id: str) -> Enabled:
        """Whether a rule is switched on."""
        return Enabled((await self._find(caller, kind, rule_id)).enabled)

    @put(ONE + "/enabled", limit="message")
    async def enable(self, caller: Caller, kind: str, rule_id: str, body: Enabled) -> None:
        """Switch a rule on or off."""
        await self._edit(caller, lambda rules: rules.enable(kind, rule_id, body.enabled))

    @get(ONE + "/actions", guests=True)
    async def actions(self, caller: Caller, kind: str, rule_id: str) -> Actions:
        """What a rule does."""
        return Actions(list((await self._find(caller, kind, rule_id)).actions))

    @put(ONE + "/actions", limit="message")
    async def act(self, caller: Caller, kind: str, rule_id: str, body: Actions) -> None:
        """Have a rule do something else."""
        await self._edit(caller, lambda rules: rules.act(kind, rule_id, body.actions))

    async def _find(self, caller: Caller, kind: str, rule_id: str) -> Rule:
        return (await self.database.read(editing.of_user, caller.user_id)).find(kind, rule_id)

    async def _edit(self, caller: Caller, change: Callable[[Ruleset], Ruleset]) -> None:
        await self.database.write(editing.edit, caller.user_id, change)
