"""The cache with a byte budget."""

from homeserver.storage.memory import ENTRY, Draft, Memory


def test_the_longest_unused_goes_first() -> None:
    memory = Memory(8 * ENTRY)
    for key in "abcd":
        memory.put(key, key.upper(), ENTRY)
    assert memory.get("a") == "A"
    memory.put("e", "E", ENTRY)
    assert memory.get("b") is None
    assert [memory.get(key) for key in "acde"] == ["A", "C", "D", "E"]
    assert (memory.hits, memory.misses) == (5, 1)
    assert memory.size <= memory.budget


def test_what_is_put_again_counts_once() -> None:
    memory = Memory(100 * ENTRY)
    for size in (10, 20, 30):
        memory.put("a", "A", size)
    assert (memory.size, len(memory)) == (30 + ENTRY, 1)
    memory.forget("a")
    assert (memory.size, len(memory)) == (0, 0)


def test_one_huge_value_does_not_drive_out_all_others() -> None:
    memory = Memory(100 * ENTRY)
    memory.put("small", 1, 10)
    memory.put("huge", 2, 99 * ENTRY)
    assert memory.get("small") == 1
    assert memory.get("huge") is None


def test_a_draft_is_seen_by_others_only_once_it_is_published() -> None:
    memory = Memory(100 * ENTRY)
    draft = Draft(memory)
    draft.put("kept", 1, 10)
    mark = draft.mark()
    draft.put("undone", 2, 10)
    assert (draft.get("kept"), draft.get("undone"), memory.get("kept")) == (1, 2, None)
    draft.undo(mark)
    draft.publish()
    assert (memory.get("kept"), memory.get("undone")) == (1, None)
