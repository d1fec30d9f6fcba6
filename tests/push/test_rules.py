"""A ruleset as a value: its order, its changes, its limits."""

import pytest

from homeserver.errors import NotFound, Refused
from homeserver.push import defaults, rules
from homeserver.push.rules import NO_RULES, Rule


def ids(ruleset: rules.Ruleset, kind: str) -> list[str]:
    return [rule.rule_id for rule in ruleset.of_kind(kind)]


def test_own_rules_stand_between_the_master_rule_and_the_predefined_ones() -> None:
    ruleset = NO_RULES.put(Rule("override", "first", ())).put(Rule("override", "newer", ()))
    assert ids(ruleset, "override")[:4] == [defaults.MASTER, "newer", "first", defaults.NOTICES]


def test_before_and_after_place_a_rule() -> None:
    ruleset = NO_RULES.put(Rule("sender", "a", ())).put(Rule("sender", "b", ()), after="a").put(Rule("sender", "c", ()), before="b")
    assert ids(ruleset, "sender") == ["a", "c", "b"]
    assert ids(ruleset.put(Rule("sender", "a", ()), after="b"), "sender") == ["c", "b", "a"]
    assert ids(ruleset.put(Rule("sender", "c", ("notify",))), "sender") == ["a", "c", "b"]
    with pytest.raises(Refused):
        ruleset.put(Rule("sender", "d", ()), before="nobody")


def test_predefined_rules_can_be_changed_but_not_removed() -> None:
    ruleset = NO_RULES.enable("override", defaults.MASTER, True).act("underride", defaults.MESSAGE, [])
    assert ruleset.find("override", defaults.MASTER).enabled
    assert ruleset.find("underride", defaults.MESSAGE).actions == ()
    with pytest.raises(NotFound):
        ruleset.delete("override", defaults.MASTER)


def test_a_ruleset_survives_its_storage() -> None:
    ruleset = NO_RULES.put(Rule("content", "k", ("notify", {"set_tweak": "sound", "value": "x"}), pattern="cake")).put(
        Rule("override", "o", ("dont_notify",), ({"kind": "event_match", "key": "type", "pattern": "x"},))
    )
    ruleset = ruleset.enable("content", "k", False).enable("override", defaults.MASTER, True)
    assert rules.load(ruleset.dump()).shown("@a:b") == ruleset.shown("@a:b")


def test_the_user_stands_in_the_rules_they_see() -> None:
    shown = NO_RULES.shown("@alice:a")["global"]
    mention = next(rule for rule in shown["override"] if rule["rule_id"] == defaults.USER_MENTION)
    assert mention["conditions"][0]["value"] == "@alice:a"
    assert shown["content"][0]["pattern"] == "alice"


@pytest.mark.parametrize(
    "rule",
    [
        Rule("override", ".mine", ()),
        Rule("override", "a/b", ()),
        Rule("override", "a\\b", ()),
        Rule("override", "", ()),
        Rule("content", "c", ()),
        Rule("content", "c", (), pattern="x" * 256),
        Rule("nonsense", "c", ()),
        Rule("override", "c", ("shout",)),
        Rule("override", "c", (), ({},)),
        Rule("override", "c", (), tuple({"kind": "x"} for _ in range(33))),
        Rule("override", "c", (), ({"kind": "x", "more": "x" * 9000},)),
    ],
)
def test_what_a_rule_may_not_be(rule: Rule) -> None:
    with pytest.raises(Refused):
        NO_RULES.put(rule)


def test_rules_about_a_room_are_carried_over_to_its_successor() -> None:
    mute = Rule("override", "!old:a", (), ({"kind": "event_match", "key": "room_id", "pattern": "!old:a"},))
    ruleset = NO_RULES.put(mute).put(Rule("room", "!old:a", ("dont_notify",))).put(Rule("sender", "!old:a", ()))
    carried = ruleset.carried_over("!old:a", "!new:a")
    assert carried.find("room", "!new:a").actions == ("dont_notify",)
    assert carried.find("override", "!new:a").conditions[0]["pattern"] == "!new:a"
    assert carried.find("room", "!old:a") and ids(carried, "sender") == ["!old:a"]
    assert carried.carried_over("!old:a", "!new:a") is carried
    assert NO_RULES.carried_over("!old:a", "!new:a") is NO_RULES


def test_there_is_an_end_to_rules() -> None:
    full = rules.Ruleset({"sender": tuple(Rule("sender", f"@{n}:a", ()) for n in range(rules.MAX_RULES))})
    with pytest.raises(Refused):
        full.put(Rule("sender", "@one_more:a", ()))
