"""Memory is bounded: every cache is charged to the one budget, or has a bound that docs/performance.md tells."""

import ast
import sys
from gc import get_referents
from types import FunctionType, ModuleType
from typing import Any

from twisted.internet.task import Clock as StillClock

from homeserver.accounts.callers import BUCKETS
from homeserver.accounts.callers import Memory as Tokens
from homeserver.clock import Clock
from homeserver.events.event import Event
from homeserver.events.versions import RoomVersion
from homeserver.storage.memory import Memory
from homeserver.units import Rate
from homeserver.web.limits import Limits
from tests.docs.pages import CODE, ROOT
from tests.world import Network, good, story

CACHES = ("OrderedDict", "lru_cache", "cache")
HELLO = {"msgtype": "m.text", "body": "lorem ipsum " * 20}


def test_every_cache_is_told_of() -> None:
    page, untold = (ROOT / "docs" / "performance.md").read_text("utf-8"), []
    for path in sorted(CODE.rglob("*.py")):
        imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        names = {name.name for node in imports if node.module in ("collections", "functools") for name in node.names}
        if names & set(CACHES) and f"`{path.relative_to(CODE)}`" not in page:
            untold.append(str(path.relative_to(CODE)))
    assert not untold, "a cache that docs/performance.md does not tell of, in its table of what is kept in memory"


def test_no_cache_of_functions_is_without_a_bound() -> None:
    # `cache` is for what the code itself decides, as the signatures of endpoints are.
    endless = {"web/coding.py", "web/endpoints.py"}
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for decorator in getattr(node, "decorator_list", ()):
                text = ast.unparse(decorator)
                assert text != "cache" or str(path.relative_to(CODE)) in endless, path
                assert text != "lru_cache(None)" and text != "lru_cache(maxsize=None)", path


def test_the_memory_keeps_to_its_budget() -> None:
    memory = Memory(100_000)
    for number in range(10_000):
        memory.put(number, b"x", number % 5000)
    assert memory.size <= memory.budget and 10 < len(memory) < 1000
    assert memory.get(9_999) is not None and memory.get(0) is None
    memory.put("large", b"x", 50_000)
    assert memory.get("large") is None


def test_tokens_and_limits_keep_to_their_numbers() -> None:
    tokens: Any = Tokens(capacity=10)
    for number in range(10 * BUCKETS * 10):
        tokens.keep(number.to_bytes(32, "little"), None, tokens.generation)
    assert sum(map(len, tokens._buckets)) <= 10 * BUCKETS
    limits = Limits(Clock(StillClock()), {"login": Rate.parse("1, 5")}, capacity=100)
    for number in range(1000):
        limits.check("login", f"10.0.0.{number}")
    assert len(limits._full_at) == 100


@story
async def test_what_is_kept_of_a_message_is_charged_in_full(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}", {}))
    for number in range(20):
        good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))
    memory = a.server.database.memory
    news = [(what, size) for (kind, *_), (what, size) in memory._values.items() if kind == "news"][-20:]
    assert len(news) == 20
    real, seen = sum(bytes_of(what, shared := set()) for what, _ in news), shared
    assert seen and 0.8 * real < sum(size for _, size in news) < 2 * real


def bytes_of(thing: Any, seen: set[int]) -> int:
    """What a value takes with all that hangs on it, but for code and room versions."""
    if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType | RoomVersion):
        return 0
    seen.add(id(thing))
    parts = get_referents(thing)
    if isinstance(thing, Event):
        parts = [getattr(thing, name) for name in thing.__struct_fields__]
    return sys.getsizeof(thing) + sum(bytes_of(part, seen) for part in parts)
