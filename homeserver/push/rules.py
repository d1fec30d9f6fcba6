"""A user's push rules as a value: read, shown, changed.  Every change gives a new value; nothing here evaluates a rule.

spec: client-server-api#push-rules
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from homeserver.errors import InvalidParam, NotFound, Refused, TooLarge
from homeserver.push.conditions import Reader
from homeserver.push.defaults import MASTER, RULES

KINDS = ("override", "content", "room", "sender", "underride")
ACTIONS = frozenset({"notify", "dont_notify", "coalesce"})  # the last two mean nothing any more, but are kept as they were set

MAX_RULES = 2000
MAX_RULE_BYTES = 8 * 1024
MAX_TOTAL_BYTES = 256 * 1024
MAX_LIST = 32
MAX_TEXT = 255


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, predefined or of the user's own."""

    kind: str
    rule_id: str
    actions: tuple[Any, ...]
    conditions: tuple[Mapping[str, Any], ...] = ()
    pattern: str | None = None
    default: bool = False
    enabled: bool = True

    def shown(self, reader: Reader) -> dict[str, Any]:
        """The rule as clients see it."""
        shown: dict[str, Any] = {"rule_id": self.rule_id, "default": self.default, "enabled": self.enabled}
        shown["actions"] = list(self.actions)
        if self.kind == "content":
            shown["pattern"] = reader.meant(self.pattern)
        elif self.kind in ("override", "underride"):
            shown["conditions"] = [
                {name: reader.meant(value) if self.default else value for name, value in one.items()} for one in self.conditions
            ]
        return shown

    def stored(self) -> dict[str, Any]:
        """The rule as it is kept."""
        kept: dict[str, Any] = {"rule_id": self.rule_id, "actions": self.actions}
        if self.conditions:
            kept["conditions"] = self.conditions
        if self.pattern is not None:
            kept["pattern"] = self.pattern
        if not self.enabled:
            kept["enabled"] = False
        return kept


@dataclass(frozen=True, slots=True)
class Change:
    """What a user changed of a predefined rule; None where nothing."""

    enabled: bool | None = None
    actions: tuple[Any, ...] | None = None


def _default(kind: str, rule: Mapping[str, Any]) -> Rule:
    return Rule(
        kind, rule["rule_id"], tuple(rule["actions"]), tuple(rule.get("conditions", ())), rule.get("pattern"), True, rule["enabled"]
    )


DEFAULTS = {kind: tuple(_default(kind, rule) for rule in RULES[kind]) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All rules of a user: their own, and how they changed the predefined ones."""

    own: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    changed: Mapping[str, Change] = field(default_factory=dict)

    def of_kind(self, kind: str) -> Iterator[Rule]:
        """The rules of one kind, the most important first."""
        predefined = [self._as_changed(rule) for rule in DEFAULTS[kind]]
        yield from (rule for rule in predefined if rule.rule_id == MASTER)
        yield from self.own.get(kind, ())
        yield from (rule for rule in predefined if rule.rule_id != MASTER)

    def ordered(self) -> Iterator[Rule]:
        """All rules in the order in which they are tried."""
        for kind in KINDS:
            yield from self.of_kind(kind)

    def shown(self, user_id: str) -> dict[str, Any]:
        """The content of `m.push_rules`."""
        reader = Reader(user_id)
        return {"global": {kind: [rule.shown(reader) for rule in self.of_kind(kind)] for kind in KINDS}}

    def find(self, kind: str, rule_id: str) -> Rule:
        """One rule; raises `NotFound`."""
        for rule in self.of_kind(known_kind(kind)):
            if rule.rule_id == rule_id:
                return rule
        raise NotFound("There is no such push rule")

    def put(self, rule: Rule, before: str | None = None, after: str | None = None) -> "Ruleset":
        """With a new or changed rule of the user's own, by default the most important of its kind; raises `Refused`."""
        known_kind(rule.kind)
        check(rule)
        rules = list(self.own.get(rule.kind, ()))
        place = next((at for at, one in enumerate(rules) if one.rule_id == rule.rule_id), None)
        if place is not None:
            rule = replace(rule, enabled=rules.pop(place).enabled)
        if before is not None or after is not None:
            place = _place(rules, before, after)
        rules.insert(place or 0, rule)
        return _within_limits(replace(self, own={**self.own, rule.kind: tuple(rules)}))

    def delete(self, kind: str, rule_id: str) -> "Ruleset":
        """Without one of the user's own rules; raises `NotFound`."""
        rules = self.own.get(known_kind(kind), ())
        left = tuple(rule for rule in rules if rule.rule_id != rule_id)
        if len(left) == len(rules):
            raise NotFound("There is no such push rule, or it is predefined and can only be disabled")
        return replace(self, own={**self.own, kind: left})

    def enable(self, kind: str, rule_id: str, enabled: bool) -> "Ruleset":
        """With a rule switched on or off; raises `NotFound`."""
        return self._alter(self.find(kind, rule_id), Change(enabled=enabled))

    def act(self, kind: str, rule_id: str, actions: list[Any]) -> "Ruleset":
        """With other actions for a rule; raises `Refused`."""
        return _within_limits(self._alter(self.find(kind, rule_id), Change(actions=known_actions(actions))))

    def carried_over(self, old_room: str, new_room: str) -> "Ruleset":
        """With the user's own rules about `old_room` for the room that replaces it, too; itself where there are none to add."""
        ruleset = self
        for kind in ("room", "override", "underride"):
            have = {rule.rule_id for rule in self.own.get(kind, ())}
            for rule in self.own.get(kind, ()):
                copy = _carried(rule, old_room, new_room)
                if copy is not None and copy.rule_id not in have:
                    ruleset = ruleset.put(copy, after=rule.rule_id)
        return ruleset

    def _alter(self, rule: Rule, change: Change) -> "Ruleset":
        if rule.default:
            old = self.changed.get(rule.rule_id, Change())
            enabled = old.enabled if change.enabled is None else change.enabled
            actions = old.actions if change.actions is None else change.actions
            return replace(self, changed={**self.changed, rule.rule_id: Change(enabled, actions)})
        altered = _altered(rule, change)
        return replace(self, own={**self.own, rule.kind: tuple(altered if one is rule else one for one in self.own[rule.kind])})

    def _as_changed(self, rule: Rule) -> Rule:
        change = self.changed.get(rule.rule_id)
        return rule if change is None else _altered(rule, change)

    def dump(self) -> bytes:
        """The value as bytes, for `load`."""
        own = {kind: [rule.stored() for rule in rules] for kind, rules in self.own.items() if rules}
        changed = {rule_id: {"enabled": change.enabled, "actions": change.actions} for rule_id, change in self.changed.items()}
        return orjson.dumps({"own": own, "changed": changed})


NO_RULES = Ruleset()


def load(raw: bytes) -> Ruleset:
    """The value that `dump` wrote."""
    data = orjson.loads(raw)
    own = {kind: tuple(_own(kind, rule) for rule in rules) for kind, rules in data["own"].items()}
    changed = {
        rule_id: Change(change["enabled"], None if change["actions"] is None else tuple(change["actions"]))
        for rule_id, change in data["changed"].items()
    }
    return Ruleset(own, changed)


def _own(kind: str, rule: Mapping[str, Any]) -> Rule:
    conditions, enabled = tuple(rule.get("conditions", ())), rule.get("enabled", True)
    return Rule(kind, rule["rule_id"], tuple(rule["actions"]), conditions, rule.get("pattern"), False, enabled)


def _altered(rule: Rule, change: Change) -> Rule:
    enabled = rule.enabled if change.enabled is None else change.enabled
    return replace(rule, enabled=enabled, actions=rule.actions if change.actions is None else change.actions)


def _carried(rule: Rule, old_room: str, new_room: str) -> Rule | None:
    """The rule, said of another room; None for one that does not name the old room."""
    if rule.kind == "room":
        return replace(rule, rule_id=new_room) if rule.rule_id == old_room else None
    conditions = [_of_room(one, old_room, new_room) for one in rule.conditions]
    if conditions == list(rule.conditions):
        return None
    rule_id = rule.rule_id.replace(old_room, new_room) if old_room in rule.rule_id else f"{rule.rule_id} {new_room}"
    return replace(rule, rule_id=rule_id, conditions=tuple(conditions))


def _of_room(condition: Mapping[str, Any], old_room: str, new_room: str) -> Mapping[str, Any]:
    named = [name for name in ("pattern", "value") if condition.get("key") == "room_id" and condition.get(name) == old_room]
    return {**condition, **dict.fromkeys(named, new_room)} if named else condition


def _place(rules: list[Rule], before: str | None, after: str | None) -> int:
    anchor = before if before is not None else after
    for at, rule in enumerate(rules):
        if rule.rule_id == anchor:
            return at if before is not None else at + 1
    raise Refused(400, "M_UNKNOWN", f"before/after rule not found: {anchor}")


def known_kind(kind: str) -> str:
    """`kind` itself; raises `NotFound` for one that does not exist."""
    if kind not in KINDS:
        raise NotFound(f"There are no push rules of the kind {kind[:50]!r}")
    return kind


def known_actions(actions: list[Any]) -> tuple[Any, ...]:
    """The actions, checked; raises `InvalidParam`."""
    if len(actions) > MAX_LIST:
        raise InvalidParam(f"A push rule has at most {MAX_LIST} actions")
    for action in actions:
        tweak = action.get("set_tweak") if isinstance(action, dict) else None
        if not (isinstance(action, str) and action in ACTIONS) and not isinstance(tweak, str):
            raise InvalidParam("Unrecognised action: it must be `notify` or an object with `set_tweak`")
    return tuple(actions)


def check(rule: Rule) -> None:
    """Raise `Refused` for a rule that a user may not have."""
    if not rule.rule_id or rule.rule_id[0] == "." or "/" in rule.rule_id or "\\" in rule.rule_id or len(rule.rule_id) > MAX_TEXT:
        raise InvalidParam("A rule ID must not be empty or long, start with a dot or hold slashes")
    known_actions(list(rule.actions))
    if rule.kind == "content" and not rule.pattern:
        raise Refused(400, "M_MISSING_PARAM", "A content rule needs a pattern")
    if rule.pattern is not None and len(rule.pattern) > MAX_TEXT:
        raise InvalidParam(f"A pattern has at most {MAX_TEXT} characters")
    if len(rule.conditions) > MAX_LIST:
        raise InvalidParam(f"A push rule has at most {MAX_LIST} conditions")
    for condition in rule.conditions:
        _check_condition(condition)
    if len(orjson.dumps(rule.stored())) > MAX_RULE_BYTES:
        raise TooLarge("The push rule is too large")


def _check_condition(condition: Mapping[str, Any]) -> None:
    if not isinstance(condition.get("kind"), str):
        raise InvalidParam("Each condition needs a kind")
    for name in ("key", "pattern"):
        if not isinstance(condition.get(name, ""), str) or len(condition.get(name, "")) > MAX_TEXT:
            raise InvalidParam(f"The {name} of a condition must be a string of at most {MAX_TEXT} characters")


def _within_limits(ruleset: Ruleset) -> Ruleset:
    if sum(map(len, ruleset.own.values())) > MAX_RULES or len(ruleset.dump()) > MAX_TOTAL_BYTES:
        raise Refused(400, "M_TOO_LARGE", "These are too many push rules: delete some first")
    return ruleset
