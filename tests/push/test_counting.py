"""What is unread, by threads and rules: numbers and rows together say what a reading of every event would say."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.events.drafts import Draft
from homeserver.push import defaults, reading
from homeserver.push.conditions import Occasion, Reader
from homeserver.push.rules import NO_RULES, Rule
from homeserver.push.unread import may_notify
from homeserver.storage import events, rooms

from .house import Count, House, now, user


@pytest.fixture
def house(engine: str) -> Iterator[House]:
    made = House(engine)
    made.joins("bob")
    yield made
    made.close()


def test_messages_count_and_state_reactions_edits_and_notices_do_not(house: House) -> None:
    first = house.says("alice")
    house.sends("alice", "m.room.topic", {"topic": "x"}, state_key="")
    house.sends("alice", "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": first, "key": "x"}})
    house.says("alice", **{"m.relates_to": {"rel_type": "m.replace", "event_id": first}})
    house.says("alice", msgtype="m.notice")
    assert house.total("bob") == Count(1, 0)
    assert house.total("alice") == Count(0, 0)


def test_what_was_said_before_the_join_is_not_unread(house: House) -> None:
    house.says("alice")
    house.joins("carol")
    assert house.total("carol") == Count(0, 0)
    house.says("alice")
    assert house.total("carol") == Count(1, 0)
    house.leaves("carol")
    house.says("alice")
    house.joins("carol")
    assert house.total("carol") == Count(0, 0)


def test_speaking_is_reading(house: House) -> None:
    house.says("alice", mentions={"user_ids": [user("bob")]})
    assert house.total("bob") == Count(1, 1)
    house.says("bob")
    assert house.total("bob") == Count(0, 0)
    house.says("alice")
    assert house.total("bob") == Count(1, 0)


def test_the_story_of_threads(house: House) -> None:
    """Complement's TestThreadedReceipts, without HTTP."""
    a = house.says("alice", "Hello world!")
    b = house.says("alice", "Start thread!", thread=a)
    house.says("alice", "Thread response @bob:a!", thread=a)
    d = house.says("alice", "Hello @bob:a!")
    house.says("alice", "End thread", thread=a)
    f = house.says("alice", "Reference!", **{"m.relates_to": {"rel_type": "m.reference", "event_id": a}})
    g = house.sends("alice", "m.room.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": f, "key": "test"}})
    assert house.total("bob") == Count(6, 2)
    assert house.counts("bob") == (Count(3, 1), {a: Count(3, 1)})
    house.reads("bob", a, "main")
    assert house.counts("bob") == (Count(2, 1), {a: Count(3, 1)})
    house.reads("bob", b, a)
    assert house.counts("bob") == (Count(2, 1), {a: Count(2, 1)})
    house.reads("bob", d)
    assert house.counts("bob") == (Count(1, 0), {a: Count(1, 0)})
    house.reads("bob", g, a)
    assert house.counts("bob") == (Count(1, 0), {})
    house.reads("bob", a)
    assert house.counts("bob") == (Count(1, 0), {}), "marks never go back"


def test_names_in_the_text_find_their_users(house: House) -> None:
    house.joins("carol", "Carol of the Bells")
    house.says("alice", "have you seen carol of the bells?")
    assert house.total("carol") == Count(1, 1)
    house.says("alice", "Carol of the sea")
    assert house.total("carol") == Count(3 - 1, 2), "the user name is in the text"
    house.joins("carol", "日本")
    house.says("alice", "ask 日本, please")
    assert house.total("carol") == Count(3, 3)


def test_intended_mentions_replace_those_in_the_text(house: House) -> None:
    house.says("alice", "bob!", mentions={})
    assert house.total("bob") == Count(1, 0)
    house.says("alice", "x", mentions={"user_ids": [user("bob"), user("nobody"), "@bob:elsewhere", 5]})
    assert house.total("bob") == Count(2, 1)


def test_the_whole_room_is_meant_with_one_row(house: House) -> None:
    house.joins("carol")
    before = now(house.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM highlights")))
    house.says("alice", "x", mentions={"room": True})
    house.says("bob", "x", mentions={"room": True})
    house.says("alice", "@room: lunch", mentions=None)
    assert house.total("carol") == Count(3, 2), "bob lacks the power"
    assert now(house.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM highlights"))) == before
    house.sends("alice", "m.room.tombstone", {"body": "x", "replacement_room": "!x:a"}, state_key="")
    assert house.total("carol") == Count(4, 3)


def test_a_redacted_mention_highlights_no_more(house: House) -> None:
    said = house.says("alice", "x", mentions={"user_ids": [user("bob")]})
    now(house.timeline.send(house.room, Draft("m.room.redaction", user("alice"), {"redacts": said}, redacts=said)))
    assert house.total("bob") == Count(1, 0)


def test_muted_rooms_and_mentions_only(house: House) -> None:
    house.says("alice", "hello")
    house.says("alice", "x", mentions={"user_ids": [user("bob")]})
    house.rules("bob", NO_RULES.put(Rule("room", house.room, ())))
    assert house.total("bob") == Count(1, 1)
    override = Rule("override", "mute", (), ({"kind": "event_match", "key": "room_id", "pattern": house.room},))
    house.rules("bob", NO_RULES.put(override))
    assert house.total("bob") == Count(0, 0)
    house.rules("bob", NO_RULES.enable("override", defaults.MASTER, True))
    assert house.total("bob") == Count(0, 0)
    house.rules("bob", NO_RULES)
    assert house.total("bob") == Count(2, 1)


def test_keywords_notify_in_a_muted_room(house: House) -> None:
    house.joins("carol")
    house.rules("bob", NO_RULES.put(Rule("content", "cake", ("notify",), pattern="cake*lie")).put(Rule("room", house.room, ())))
    house.says("alice", "the cake is a lie")
    house.says("alice", "there are lies and there is cake")
    assert house.total("bob") == Count(1, 0)
    assert house.total("carol") == Count(2, 0)


def test_rules_about_senders_and_the_ignored_are_asked_event_by_event(house: House) -> None:
    house.joins("carol")
    house.says("alice", "x", mentions={"user_ids": [user("bob")]})
    house.says("carol")
    assert house.unread("bob", frozenset({user("alice")})).total == Count(1, 0)
    house.rules("bob", NO_RULES.put(Rule("sender", user("carol"), ())))
    assert house.total("bob") == Count(1, 1)


def test_a_loud_room_counts_what_others_do_not(house: House) -> None:
    house.rules("bob", NO_RULES.put(Rule("room", house.room, ("notify",))))
    house.sends("alice", "m.room.topic", {"topic": "x"}, state_key="")
    house.says("alice")
    house.says("alice", msgtype="m.notice")
    assert house.total("bob") == Count(2, 0)


def test_quiet_messages_and_loud_encrypted_ones(house: House) -> None:
    house.rules("bob", NO_RULES.enable("underride", defaults.MESSAGE, False).enable("underride", defaults.MESSAGE_TO_ONE, False))
    house.says("alice")
    assert house.total("bob") == Count(0, 0)
    house.sends("alice", "m.room.encryption", {"algorithm": "x"}, state_key="")
    house.sends("alice", "m.room.encrypted", {"ciphertext": "x"})
    assert house.total("bob").notifications >= 1


def test_a_message_costs_the_same_in_a_room_of_two_and_of_forty(house: House) -> None:
    def cost() -> int:
        before = house.database.counts.statements
        house.says("alice", "hello everybody", mentions={})
        return house.database.counts.statements - before

    few = cost()
    for member in range(40):
        house.joins(f"member{member}")
    assert cost() == few


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(["alice", "bob"]), st.sampled_from(["main", "thread1", "thread2"]), st.booleans()),
        st.tuples(st.just("read"), st.sampled_from(["", "main", "thread1", "thread2"]), st.integers(0, 20)),
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_numbers_say_what_counting_one_by_one_says(steps: list[Any]) -> None:
    house = House()
    house.joins("bob")
    said: list[tuple[int, str, bool, str]] = []
    roots = {name: house.says("alice", mentions={}) for name in ("thread1", "thread2")}
    ids = list(roots.values())
    said += [(0, "main", False, "alice"), (1, "main", False, "alice")]
    read: dict[str, int] = {}
    for step in steps:
        if step[0] == "say":
            _, who, where, mention = step
            mentions = {"user_ids": [user("bob")] if mention else []}
            ids.append(house.says(who, mentions=mentions, thread=roots.get(where)))
            said.append((len(ids) - 1, where, mention, who))
            if who == "bob":
                read[where] = len(ids) - 1
        else:
            _, where, index = step
            if index < len(ids):
                house.reads("bob", ids[index], roots.get(where, where))
                read[where] = max(read.get(where, -1), index)
    left = [one for one in said if one[3] != "bob" and one[0] > max(read.get("", -1), read.get(one[1], -1))]
    expected = {where: [one for one in left if one[1] == where] for where in ("main", "thread1", "thread2")}
    counted = {where: Count(len(ones), sum(one[2] for one in ones)) for where, ones in expected.items()}
    found = house.unread("bob")
    assert found.main == counted["main"]
    assert found.threads == {roots[where]: counted[where] for where in roots if counted[where] != Count()}
    house.says("alice", "One more")
    assert found.each is None or house.counts("bob") == (found.with_more(1).main, found.threads)
    house.close()


def _match(key: str, pattern: str) -> dict[str, str]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


ACTIONS = st.sampled_from([(), ("notify",), ("notify", {"set_tweak": "highlight"})])
ANY_RULES = st.lists(
    st.one_of(
        st.builds(lambda kind, key, pattern, actions: Rule(kind, key, actions, (_match(key, pattern),)),
                  st.sampled_from(["override", "underride"]),
                  st.sampled_from(["type", "sender", "content.body", "content.msgtype", "room_id"]),
                  st.sampled_from(["m.room.message", "@carol:a", "cake", "m.*", "*"]), ACTIONS),
        st.builds(lambda word, actions: Rule("content", word, actions, pattern=word), st.sampled_from(["cake", "ca*", "carol"]), ACTIONS),
        st.builds(lambda who, actions: Rule("sender", who, actions), st.sampled_from(["@carol:a", "@alice:a"]), ACTIONS),
        st.builds(lambda actions: Rule("room", "HERE", actions), ACTIONS),
    ),
    max_size=2,
)  # fmt: skip
SWITCHED = st.lists(
    st.tuples(
        st.sampled_from([
            ("override", defaults.MASTER), ("override", defaults.NOTICES), ("override", defaults.USER_MENTION),
            ("override", defaults.ROOM_MENTION), ("override", defaults.MEMBER), ("override", defaults.REACTION),
            ("override", defaults.TOMBSTONE), ("override", defaults.EDITS), ("content", defaults.USER_NAME),
            ("underride", defaults.MESSAGE), ("underride", defaults.CALL),
        ]),
        st.booleans(),
    ),
    max_size=2,
)  # fmt: skip
SAID = st.lists(
    st.tuples(
        st.sampled_from(["alice", "carol", "bob"]),
        st.sampled_from(["m.room.message", "m.reaction", "m.call.invite", "m.room.topic", "m.sticker", "m.room.tombstone"]),
        st.sampled_from(["hello", "cake for bob", "Bobby!", "@room look", "cakes"]),
        st.sampled_from([None, {}, {"user_ids": ["@bob:a"]}, {"room": True}]),
        st.sampled_from(["m.text", "m.notice"]),
    ),
    max_size=5,
)  # fmt: skip


@given(ANY_RULES, SWITCHED, SAID)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_count_is_what_the_rules_say_of_each_event(own: list[Rule], switched: list[Any], said: list[Any]) -> None:
    house = House()
    house.joins("carol")
    house.joins("bob", "Bobby")
    ruleset = NO_RULES
    for rule in own:
        ruleset = ruleset.put(replace(rule, rule_id=house.room) if rule.kind == "room" else rule)
    for (kind, rule_id), enabled in switched:
        ruleset = ruleset.enable(kind, rule_id, enabled)
    house.rules("bob", ruleset)
    expected = Count()
    for who, kind, text, mentions, msgtype in said:
        state_key = "" if kind in ("m.room.topic", "m.room.tombstone") else None
        content = {"body": text, "msgtype": msgtype, **({} if mentions is None else {"m.mentions": mentions})}
        if state_key is not None and who != "alice":
            continue
        sent = house.sends(who, kind, content, state_key=state_key)
        expected = expected.plus(now(house.database.read(_said, house.room, sent))) if who != "bob" else Count()
    assert house.total("bob") == expected
    house.close()


def _said(txn: Any, room_id: str, event_id: str) -> Count:
    """What Bob's rules say of one event."""
    stored, room = events.get(txn, room_id, event_id), rooms.get(txn, room_id)
    assert stored is not None and room is not None
    occasion = Occasion(stored.event, 3, lambda key: may_notify(txn, room, stored, key))
    effect = reading.rules_of(txn, ["@bob:a"])["@bob:a"].judge(occasion, Reader("@bob:a", "Bobby")).effect
    return Count(int(effect.notify), int(effect.highlight))
