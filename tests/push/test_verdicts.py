"""What rules say of events, and that what is expected of a room's events agrees with what is said when they come."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeserver.events import notable
from homeserver.push import conditions, defaults, rules, verdicts
from homeserver.push.conditions import Reader
from homeserver.push.rules import NO_RULES, Rule, Ruleset
from homeserver.push.verdicts import DEFAULT, SILENT, Effect, compiled

from .events import ALICE, BOB, ROOM, event, occasion

TYPES = st.sampled_from([
    "m.room.message", "M.Room.Message", "m.room.encrypted", "m.call.invite", "m.room.tombstone", "m.reaction", "m.room.member", "m.sticker",
    "m.room.server_acl", "m.room.topic", notable.POLL_START, notable.POLL_END, "org.matrix.msc3381.poll.response",
])  # fmt: skip
RELATIONS = st.sampled_from([None, "m.replace", "m.thread", "m.annotation", 3])
CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "msgtype": st.sampled_from(["m.text", "m.notice", "M.NOTICE", 5]),
        "body": st.sampled_from(["hello", "hi @room", "bob!", "nothing"]),
        "m.relates_to": st.fixed_dictionaries({"event_id": st.just("$x"), "rel_type": RELATIONS}),
        "membership": st.just("join"),
    },
)
EVENTS = st.builds(event, TYPES, CONTENT, state_key=st.sampled_from([None, "", "@carol:a"]))
CAROL = Reader("@carol_of_nowhere:a", "Carol")


def verdict(ruleset: Ruleset, happened: Any, reader: Reader = CAROL, **around: Any) -> verdicts.Verdict:
    return compiled(ruleset).judge(occasion(happened, **around), reader)


@given(EVENTS, st.integers(1, 5))
def test_countable_is_what_the_predefined_rules_say_to_an_ordinary_member(happened: Any, members: int) -> None:
    said = DEFAULT.judge(occasion(happened, members=members, power=False), CAROL)
    assert notable.countable(happened) == said.effect.notify


OWN_CONDITION = st.one_of(
    st.builds(lambda key, pattern: {"kind": "event_match", "key": key, "pattern": pattern},
              st.sampled_from(["type", "sender", "room_id", "content.msgtype", "state_key"]),
              st.sampled_from(["m.room.*", "m.text", ROOM, "!other:a", ALICE, "", "*"])),
    st.just({"kind": "room_member_count", "is": ">2"}),
    st.just({"kind": "no_such_condition"}),
    st.just({"kind": "event_property_is", "key": "content.membership", "value": "join"}),
)  # fmt: skip
ACTIONS = st.sampled_from([(), ("notify",), ("notify", {"set_tweak": "highlight"}), ("dont_notify",)])
OWN = st.one_of(
    st.builds(
        Rule, st.sampled_from(["override", "underride"]), st.sampled_from("abc"), ACTIONS, st.lists(OWN_CONDITION, max_size=2).map(tuple)
    ),
    st.builds(Rule, st.just("room"), st.sampled_from([ROOM, "!other:a"]), ACTIONS),
    st.builds(Rule, st.just("sender"), st.sampled_from([ALICE, BOB]), ACTIONS),
)


@st.composite
def rulesets(draw: st.DrawFn) -> Ruleset:
    ruleset = NO_RULES
    for rule in draw(st.lists(OWN, max_size=3)):
        ruleset = ruleset.put(rule)
    for rule in draw(st.lists(st.sampled_from([r for kind in rules.KINDS for r in rules.DEFAULTS[kind]]), max_size=3)):
        ruleset = ruleset.enable(rule.kind, rule.rule_id, draw(st.booleans()))
    return ruleset


@given(rulesets(), EVENTS.filter(lambda happened: happened.content.get("body") not in ("bob!", "hi @room")), st.integers(1, 4))
def test_what_is_expected_is_what_comes(ruleset: Ruleset, happened: Any, members: int) -> None:
    own = compiled(ruleset)
    outlook = own.outlook(ROOM, members, senders_here=True)
    said = own.judge(occasion(happened, members=members), CAROL).effect
    kind = happened.type.lower()
    if not notable.countable(happened):
        assert outlook.others or said == SILENT
        return
    expected = {
        "m.room.message": outlook.message, "m.room.encrypted": outlook.encrypted, "m.call.invite": outlook.wide[verdicts.CALL],
        "m.room.tombstone": outlook.wide[verdicts.TOMBSTONE],
    }.get(kind, outlook.wide[verdicts.POLL])  # fmt: skip
    if happened.state_key is None or kind == "m.room.tombstone":
        assert expected in (None, said)
    if outlook.hushed:
        assert said == SILENT


def test_for_most_users_no_event_has_to_be_read() -> None:
    mute = Rule("override", "x", (), ({"kind": "event_match", "key": "room_id", "pattern": ROOM},))
    for ruleset in (
        NO_RULES,
        NO_RULES.put(mute),
        NO_RULES.put(Rule("room", ROOM, ())),
        NO_RULES.put(Rule("content", "cake", ("notify",), pattern="cake")),
        NO_RULES.enable("override", defaults.MASTER, True),
        NO_RULES.enable("underride", defaults.MESSAGE, False).enable("underride", defaults.ENCRYPTED, False),
        NO_RULES.act("underride", defaults.MESSAGE, ["notify", {"set_tweak": "sound", "value": "default"}]),
    ):
        for members in (2, 3):
            outlook = compiled(ruleset).outlook(ROOM, members, False)
            assert not outlook.others and outlook.message is not None and outlook.encrypted is not None
            assert None not in outlook.wide.values()


def test_mentions_highlight_for_the_one_they_mean() -> None:
    mention = event(content={"body": "x", "m.mentions": {"user_ids": [BOB]}})
    assert verdict(NO_RULES, mention, Reader(BOB)).effect == Effect(True, True)
    assert verdict(NO_RULES, mention, Reader("@carol:a")).effect == Effect(True, False)


def test_text_mentions_count_only_without_intended_ones() -> None:
    text = {"msgtype": "m.text", "body": "Hello Bob Smith and @room"}
    assert verdict(NO_RULES, event(content=text), Reader("@b:a", "bob smith"), power=False).rule_id == defaults.DISPLAY_NAME
    assert verdict(NO_RULES, event(content=text), Reader(BOB), power=False).rule_id == defaults.USER_NAME
    assert verdict(NO_RULES, event(content=text)).rule_id == defaults.ROOM_TEXT
    assert verdict(NO_RULES, event(content={**text, "m.mentions": {}}), Reader(BOB, "Bob Smith")).rule_id == defaults.MESSAGE


def test_the_room_is_notified_by_those_with_power_only() -> None:
    mention = event(content={"body": "x", "m.mentions": {"room": True}})
    assert verdict(NO_RULES, mention).effect == Effect(True, True)
    assert verdict(NO_RULES, mention, power=False).effect == Effect(True, False)


def test_two_people_ring_and_more_do_not() -> None:
    assert verdict(NO_RULES, event(), members=2).tweaks == {"sound": "default"}
    assert verdict(NO_RULES, event(), members=3).tweaks == {}


def test_a_muted_room_still_tells_of_mentions_unless_it_is_overridden() -> None:
    muted = NO_RULES.put(Rule("room", ROOM, ()))
    mention = event(content={"body": "x", "m.mentions": {"user_ids": [BOB]}})
    assert verdict(muted, event()).effect == SILENT
    assert verdict(muted, mention, Reader(BOB)).effect.highlight
    silenced = NO_RULES.put(Rule("override", "x", (), ({"kind": "event_match", "key": "room_id", "pattern": ROOM},)))
    assert verdict(silenced, mention, Reader(BOB)).effect == SILENT
    assert compiled(silenced).outlook(ROOM, 3, False).hushed
    assert not compiled(silenced).outlook("!other:a", 3, False).hushed


def test_values_are_never_cast() -> None:
    for condition, content, expected in [
        ({"kind": "event_property_is", "key": "content.a\\.b", "value": True}, {"a.b": True}, True),
        ({"kind": "event_property_is", "key": "content.a", "value": True}, {"a": 1}, False),
        ({"kind": "event_property_is", "key": "content.a", "value": None}, {"a": None}, True),
        ({"kind": "event_property_is", "key": "content.a", "value": None}, {}, False),
        ({"kind": "event_property_contains", "key": "content.a", "value": 1}, {"a": [True, 1.0, "1"]}, False),
        ({"kind": "event_property_contains", "key": "content.a", "value": "x"}, {"a": "x"}, False),
        ({"kind": "event_match", "key": "content.a", "pattern": "*"}, {"a": 1}, False),
    ]:
        judge = conditions.compiled(condition)
        assert judge(occasion(event(content=content)), CAROL) is expected, (condition, content)


@given(st.lists(st.text(alphabet="ab.\\", max_size=4), min_size=1, max_size=3))
def test_paths_are_escaped_and_read_back(parts: list[str]) -> None:
    key = ".".join(part.replace("\\", "\\\\").replace(".", "\\.") for part in parts)
    assert conditions.path(key) == tuple(parts)


def test_a_disabled_rule_is_not_tried() -> None:
    quiet = NO_RULES.enable("underride", defaults.MESSAGE, False)
    assert verdict(quiet, event()).effect == SILENT
    assert verdict(replace(quiet, changed={}), event()).effect.notify
