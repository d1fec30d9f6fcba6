"""The state map against a dict: the same answers, one root for one content, and little to store for little change."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.events import state_map
from homeserver.events.state_map import EMPTY

keys = st.tuples(st.sampled_from(["m.room.member", "m.room.name", ""]), st.text("ab:@é", max_size=4) | st.integers(0, 300).map(str))
numbers = st.integers(0, 2**64 - 1)
maps = st.dictionaries(keys, numbers, max_size=60)
changes = st.dictionaries(keys, numbers | st.none(), max_size=60)


class Store(dict):
    """Nodes by id, as a database has them."""

    def put(self, root, change):
        root, nodes = state_map.put(root, change, self.__getitem__)
        assert all(state_map.node_id(node) == name for name, node in nodes.items())
        self.update(nodes)
        return root

    def load_all(self, names):
        return {name: self[name] for name in names}


def apply(model, change):
    merged = {**model, **change}
    return {key: number for key, number in merged.items() if number is not None}


@settings(max_examples=150)
@given(st.lists(changes, max_size=6), st.lists(keys, max_size=5))
def test_it_answers_like_a_dict(history, strangers):
    store, root, model = Store(), EMPTY, {}
    for change in history:
        root, model = store.put(root, change), apply(model, change)
        assert store.put(EMPTY, model) == root, "one content, one root, however it came about"
    for key in [*model, *strangers]:
        assert state_map.get(root, key, store.__getitem__) == model.get(key)
    assert state_map.find(root, [*model, *strangers], store.__getitem__) == model
    assert sorted(state_map.items(root, store.__getitem__)) == sorted(state_map.gather(root, store.load_all)) == sorted(model.values())


@settings(max_examples=150)
@given(maps, changes)
def test_a_difference_is_what_changed(before, change):
    store, after = Store(), apply(before, change)
    a = store.put(EMPTY, before)
    b = store.put(a, change)
    expected = [(before.get(key), after.get(key)) for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    there, back = list(state_map.diff(a, b, store.__getitem__)), list(state_map.diff(b, a, store.__getitem__))
    assert sorted(there, key=str) == sorted(expected, key=str)
    assert [(y, x) for x, y in back] == there
    assert (a == b) is (not expected)


@given(maps)
def test_what_does_not_change_anything_stores_nothing(content):
    store = Store()
    root = store.put(EMPTY, content)
    assert state_map.put(root, content, store.__getitem__) == (root, {})
    assert state_map.put(root, {("never", "there"): None}, store.__getitem__) == (root, {})
    assert store.put(root, dict.fromkeys(content)) == EMPTY


@pytest.fixture(scope="module")
def crowd():
    store = Store()
    members = {("m.room.member", f"@user{number}:example.org"): number for number in range(5000)}
    return store, store.put(EMPTY, members), members


def test_a_change_in_a_crowd_makes_a_handful_of_small_nodes(crowd):
    store, root, _ = crowd
    _, nodes = state_map.put(root, {("m.room.member", "@user7:example.org"): 9999}, store.__getitem__)
    assert len(nodes) <= 5 and sum(map(len, nodes.values())) < 1500


def test_a_difference_in_a_crowd_reads_only_what_differs(crowd):
    store, root, _ = crowd
    other = store.put(root, {("m.room.member", "@user7:example.org"): 9999})
    read = []
    assert list(state_map.diff(root, other, lambda name: read.append(name) or store[name])) == [(7, 9999)]
    assert len(read) <= 10


def test_a_crowd_that_leaves_leaves_no_trace(crowd):
    store, root, members = crowd
    rest = dict(list(members.items())[:10])
    emptied = store.put(root, {key: None for key in members if key not in rest})
    assert emptied == store.put(EMPTY, rest) and not state_map.children(store[emptied])


def test_every_node_is_found_by_walking_down(crowd):
    store, root, members = crowd
    seen, level = set(), [root]
    while level:
        seen.update(level)
        level = [child for name in level for child in state_map.children(store[name])]
    copy = {name: store[name] for name in seen}
    assert sorted(state_map.items(root, copy.__getitem__)) == sorted(members.values())


def test_the_type_does_not_run_into_the_state_key():
    store = Store()
    root = store.put(EMPTY, {("a", "bc"): 1, ("ab", "c"): 2, ("abc", ""): 3})
    assert [state_map.get(root, key, store.__getitem__) for key in (("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"))] == [1, 2, 3, None]
