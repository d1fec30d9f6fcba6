"""What a user's push rules say of an event, and what they will say of most events of a room before these are sent.

A compiled ruleset is a value of the user and the version of their rules; `Outlook` is a value of the ruleset and a few facts about
the room.  Reads no database.  spec: client-server-api#push-rules
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from homeserver.events.notable import POLL_END, POLL_START
from homeserver.push import defaults, globs
from homeserver.push.conditions import ABSENT, BODY, COMPARISON, OPERATORS, UNKNOWN, Judge, Path, Reader, Scene
from homeserver.push.conditions import compiled as condition_of
from homeserver.push.defaults import LOCALPART, TEXTUAL, USER
from homeserver.push.rules import NO_RULES, Rule, Ruleset


class Effect(NamedTuple):
    """What an event does to the counts."""

    notify: bool
    highlight: bool


SILENT = Effect(False, False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rule that decided and what it wants; `rule` is None when none matched."""

    effect: Effect
    rule: Rule | None = None

    @property
    def rule_id(self) -> str | None:
        """The id of the rule that decided."""
        return self.rule.rule_id if self.rule else None

    @property
    def actions(self) -> tuple[Any, ...]:
        """What the rule wants."""
        return self.rule.actions if self.rule else ()

    @property
    def tweaks(self) -> dict[str, Any]:
        """The tweaks for the push gateway."""
        return {
            action["set_tweak"]: action.get("value", True) for action in self.actions if isinstance(action, dict) and "set_tweak" in action
        }


NO_VERDICT = Verdict(SILENT)


@dataclass(frozen=True, slots=True)
class Tried:
    """A rule ready to be tried."""

    rule: Rule
    judges: tuple[Judge, ...]
    effect: Effect

    def judge(self, scene: Scene, reader: Reader) -> bool | None:
        """Whether all conditions hold; None when that is not known."""
        known: bool | None = True
        for judge in self.judges:
            answer = judge(scene, reader)
            if answer is False:
                return False
            if answer is None:
                known = None
        return known


def _effect(actions: Iterable[Any]) -> Effect:
    notify = "notify" in actions
    tweaks = [action for action in actions if isinstance(action, dict) and action.get("set_tweak") == "highlight"]
    highlight = any(tweak.get("value", True) is True for tweak in tweaks)
    return Effect(notify, notify and highlight)


def _conditions(rule: Rule) -> list[Mapping[str, Any]]:
    if rule.kind == "room":
        return [{"kind": "event_property_is", "key": "room_id", "value": rule.rule_id}]
    if rule.kind == "sender":
        return [{"kind": "event_property_is", "key": "sender", "value": rule.rule_id}]
    if rule.kind == "content":
        return [{"kind": "event_match", "key": "content.body", "pattern": rule.pattern}]
    return list(rule.conditions)


@dataclass(frozen=True)
class Compiled:
    """A user's enabled rules in the order in which they are tried, and what may be asked about them beforehand."""

    tried: tuple[Tried, ...]
    senders: frozenset[str]
    rooms: frozenset[str]
    """Rooms that some rule names."""
    any_room: bool
    """Whether a rule may mean any room by a pattern."""
    keywords: frozenset[tuple[str, str]]
    """Words of which a text must have one pair to be matched by a rule about texts; "*" stands for any text."""
    _thresholds: tuple[tuple[str, int], ...]
    _outlooks: dict[Any, "Outlook"] = field(default_factory=dict, compare=False, repr=False)

    def judge(self, scene: Scene, reader: Reader) -> Verdict:
        """The verdict on an event that `reader` did not send."""
        content = scene.value(("content",))
        intended = isinstance(content, dict) and "m.mentions" in content
        for tried in self.tried:
            if intended and tried.rule.rule_id in TEXTUAL:
                continue
            if tried.judge(scene, reader):
                return Verdict(tried.effect, tried.rule)
        return NO_VERDICT

    def alike(self, members: int) -> tuple[int, int]:
        """The least and the largest number of members that the rules tell apart from this one by nothing."""
        numbers = [number for _, number in self._thresholds]
        if members in numbers:
            return members, members
        above = [number - 1 for number in numbers if number > members]
        return max([number + 1 for number in numbers if number < members], default=0), min(above, default=1 << 53)

    def outlook(self, room_id: str, members: int, senders_here: bool) -> "Outlook":
        """What to expect in a room of so many members; `senders_here`: whether somebody whom a sender rule names may be there."""
        sizes = tuple(OPERATORS[compare](members, number) for compare, number in self._thresholds)
        key = (room_id if self.any_room or room_id in self.rooms else None, sizes, senders_here and bool(self.senders))
        found = self._outlooks.get(key)
        if found is None:
            if len(self._outlooks) > 1000:
                self._outlooks.clear()
            found = self._outlooks[key] = _look_out(self, room_id, members, key[2])
        return found


def compiled(ruleset: Ruleset) -> Compiled:
    """The rules, ready to be tried."""
    rules = [rule for rule in ruleset.ordered() if rule.enabled]
    tried = tuple(Tried(rule, tuple(condition_of(one) for one in _conditions(rule)), _effect(rule.actions)) for rule in rules)
    own = [rule for rule in rules if not rule.default]
    patterns = [one for rule in own for one in _conditions(rule) if one.get("key") == "room_id" and rule.kind in ("override", "underride")]
    named = {one.get("pattern", one.get("value")) for one in patterns} | {rule.rule_id for rule in own if rule.kind == "room"}
    return Compiled(
        tried,
        frozenset(rule.rule_id for rule in own if rule.kind == "sender"),
        frozenset(name for name in named if isinstance(name, str)),
        any(isinstance(one.get("pattern"), str) and not globs.is_literal(one["pattern"].lower()) for one in patterns),
        frozenset(word for rule in rules for one in _conditions(rule) for word in _keyword(one)),
        tuple(sorted({found for rule in rules for one in _conditions(rule) for found in _threshold(one)})),
    )


def _keyword(condition: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if condition.get("key") != "content.body":
        return
    pattern = condition.get("pattern", condition.get("value"))
    if isinstance(pattern, str) and pattern not in (USER, LOCALPART, "@room"):
        yield globs.keywords(pattern) or ("*", "")


def _threshold(condition: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    text = condition.get("is")
    found = COMPARISON.fullmatch(text) if condition.get("kind") == "room_member_count" and isinstance(text, str) else None
    if found:
        yield found[1] or "==", int(found[2])


DEFAULT = compiled(NO_RULES)


# --- what to expect -----------------------------------------------------------------------------------------------------------

_MENTIONS = frozenset({defaults.USER_MENTION, defaults.DISPLAY_NAME, defaults.USER_NAME, defaults.ROOM_MENTION, defaults.ROOM_TEXT})
_TYPED = frozenset({
    defaults.MEMBER, defaults.INVITE, defaults.TOMBSTONE, defaults.REACTION, defaults.SERVER_ACL, defaults.POLL_RESPONSE, defaults.CALL,
    defaults.POLL_START_TO_ONE, defaults.POLL_END_TO_ONE, defaults.POLL_START_RULE, defaults.POLL_END_RULE,
    defaults.ENCRYPTED_TO_ONE, defaults.MESSAGE_TO_ONE, defaults.MESSAGE, defaults.ENCRYPTED,
})  # fmt: skip
_SUPPRESSED = frozenset({defaults.NOTICES, defaults.EDITS})


@dataclass(frozen=True, slots=True)
class Sketch:
    """A class of events: what is known of all of them, predefined rules that match none of them (`never`) or each (`always`)."""

    type: Any
    never: frozenset[str] = frozenset()
    always: frozenset[str] = frozenset()
    state_key: Any = ABSENT


@dataclass(frozen=True, slots=True)
class _SketchScene:
    sketch: Sketch
    room_id: str
    members: int

    def value(self, path: Path) -> Any:
        if path == ("type",):
            return self.sketch.type
        if path == ("state_key",):
            return self.sketch.state_key
        if path == ("room_id",):
            return self.room_id
        # Texts and mentions that a rule could match have rows of their own: here are the events that have none.
        if path == BODY or path[:2] == ("content", "m.mentions"):
            return ABSENT
        return UNKNOWN

    def may_notify(self, key: str) -> bool | None:
        return None


ROOM_MENTION, ROOM_TEXT, TOMBSTONE, CALL, POLL, ODD = 1, 2, 3, 4, 5, 6
"""Why an event concerns the whole room: such events are rare, and have a row for all members together.

`ODD`: it mentions the room and is no ordinary message, a sticker for instance; it has to be read to know what is said of it.
"""

_PLAIN = _MENTIONS | _SUPPRESSED
_COMMON = (Sketch("m.room.message", _PLAIN), Sketch("m.room.encrypted", _PLAIN))
_ANY = Sketch(UNKNOWN, state_key=UNKNOWN)
_WIDE = {
    ROOM_MENTION: Sketch("m.room.message", _SUPPRESSED | _MENTIONS - {defaults.ROOM_MENTION}, frozenset({defaults.ROOM_MENTION})),
    ROOM_TEXT: Sketch("m.room.message", _SUPPRESSED | _MENTIONS - {defaults.ROOM_TEXT}, frozenset({defaults.ROOM_TEXT})),
    TOMBSTONE: Sketch("m.room.tombstone", _PLAIN, state_key=""),
    CALL: Sketch("m.call.invite", _PLAIN),
    POLL: Sketch(POLL_START, _PLAIN),
}
_POLL_ENDS = Sketch(POLL_END, _PLAIN)
_OTHERS = (
    Sketch(UNKNOWN, _MENTIONS | {defaults.INVITE}, frozenset({defaults.NOTICES}), UNKNOWN),
    Sketch(UNKNOWN, (_PLAIN | {defaults.INVITE, defaults.TOMBSTONE}) - {defaults.EDITS}, frozenset({defaults.EDITS}), UNKNOWN),
    Sketch("m.reaction", _PLAIN),
    Sketch("m.room.member", _PLAIN | {defaults.INVITE}, state_key=UNKNOWN),
    Sketch("m.room.server_acl", _PLAIN, state_key=""),
    Sketch("org.matrix.msc3381.poll.response", _PLAIN),
    Sketch(UNKNOWN, _PLAIN | _TYPED, state_key=UNKNOWN),
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a ruleset says of the classes of events in a room; None where it depends on the event.

    `message`, `encrypted`: of events that count as unread and mention nobody.  `hushed`: the room is silent even for mentions.
    `wide`: of events that concern the whole room, by reason.  `others`: whether events that do not count as unread may notify.
    """

    message: Effect | None
    encrypted: Effect | None
    hushed: bool
    wide: Mapping[int, Effect | None]
    others: bool


def _look_out(rules: Compiled, room_id: str, members: int, senders_here: bool) -> Outlook:
    def expect(sketch: Sketch) -> Effect | None:
        return _expect(rules, sketch, _SketchScene(sketch, room_id, members), senders_here)

    wide = {reason: expect(sketch) for reason, sketch in _WIDE.items()}
    if expect(_POLL_ENDS) != wide[POLL]:
        wide[POLL] = None
    enabled = {tried.rule.rule_id for tried in rules.tried}
    for reason in (ROOM_MENTION, ROOM_TEXT):
        # Without the rule the event is what it would be if it mentioned nobody.
        wide[reason] = wide[reason] if _WIDE[reason].always <= enabled else None
    message, encrypted = map(expect, _COMMON)
    hushed = _is_hushed(rules, _SketchScene(_ANY, room_id, members))
    return Outlook(message, encrypted, hushed, wide, any(expect(sketch) != SILENT for sketch in _OTHERS))


def _is_hushed(rules: Compiled, scene: _SketchScene) -> bool:
    for tried in rules.tried:
        if tried.rule.kind != "override" or (tried.rule.default and tried.rule.rule_id != defaults.MASTER):
            break
        if tried.judge(scene, Reader("")):
            return tried.effect == SILENT
    return False


def _expect(rules: Compiled, sketch: Sketch, scene: _SketchScene, senders_here: bool) -> Effect | None:
    nobody = Reader("")
    possible: set[Effect] = set()
    for tried in rules.tried:
        rule = tried.rule
        if (rule.default and rule.rule_id in sketch.never) or rule.kind == "content" or (rule.kind == "sender" and not senders_here):
            continue
        matches = True if rule.default and rule.rule_id in sketch.always else tried.judge(scene, nobody)
        if matches:
            return tried.effect if possible <= {tried.effect} else None
        if matches is None:
            possible.add(tried.effect)
    return SILENT if possible <= {SILENT} else None
