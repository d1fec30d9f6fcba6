"""The house rules a machine can check: imports only point down, the core is pure, modules and public names say what they are for."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "homeserver"

# Packages.  A module beside them is the ground (rank 1) unless it is one of those that put everything together.
RANKS = [
    {"events"},
    set(),
    {"web", "storage"},
    {"rooms", "live", "bus"},
    {"federation"},
    {"accounts", "keys", "push", "media", "relations", "directory", "appservices", "receipts", "presence", "ephemeral"},
    {"room_keys"},
    {"membership"},
    {"sync", "swarm"},
    {"api"},
    {"server", "composition", "workers", "running", "commanding", "reference", "__main__"},
]
GROUND, TOP = 1, len(RANKS) - 1
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}

# What the core may import beside itself: nothing that waits, looks at a clock, rolls dice or opens a file.
PURE = {
    *("abc", "base64", "bisect", "binascii", "collections", "dataclasses", "enum", "functools", "hashlib", "heapq", "ipaddress"),
    *("itertools", "json", "math", "operator", "re", "struct", "types", "typing", "unicodedata", "msgspec", "nacl", "orjson"),
}
IMPURE_NAMES = {"open", "input", "print", "exec", "eval", "__import__"}

FILES = sorted(ROOT.rglob("*.py"))
NAMES = {path: path.relative_to(ROOT.parent).as_posix() for path in FILES}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, full module name) of everything a module imports, wherever in it."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{NAMES[path]}:{node.lineno}: relative import"
            found.append((node.lineno, node.module or ""))
            if node.module == "homeserver":
                found += [(node.lineno, f"homeserver.{alias.name}") for alias in node.names]
    return found


def package(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def rank(name: str) -> int:
    if name not in RANK and (ROOT / name).is_dir():
        raise AssertionError(f"the package {name} has no rank")
    return RANK.get(name, GROUND)


def test_no_import_points_up_or_sideways():
    wrong = []
    for path in FILES:
        own = package(path)
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] != "homeserver" or len(parts) < 2 or parts[1] in (own, "__version__"):
                continue
            beside = rank(own) == rank(parts[1]) and rank(own) in (GROUND, TOP)
            if rank(parts[1]) >= rank(own) and not beside:
                wrong.append(f"{NAMES[path]}:{line}: {own} imports {parts[1]}")
    assert not wrong, "\n".join(wrong)


def test_the_core_is_pure():
    wrong = []
    for path in (ROOT / "events").rglob("*.py"):
        for line, name in imports(path):
            if name.split(".")[0] not in PURE | {"homeserver"}:
                wrong.append(f"{NAMES[path]}:{line}: imports {name}")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global):
                wrong.append(f"{NAMES[path]}:{node.lineno}: {type(node).__name__}")
            if isinstance(node, ast.Name) and node.id in IMPURE_NAMES:
                wrong.append(f"{NAMES[path]}:{node.lineno}: {node.id}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_every_module_opens_with_what_it_is_for(path):
    assert ast.get_docstring(tree(path)), NAMES[path]


def test_no_import_hides_inside_a_function():
    wrong = [
        f"{NAMES[path]}:{inner.lineno}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    graph = {}
    modules = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    for name, path in modules.items():
        reached = set()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                reached |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                reached |= {alias.name for alias in node.names}
        # The docstring-only __init__ of a package is no knot.
        graph[name] = {other for other in reached if other in modules and modules[other].name != "__init__.py"} - {name}
    done: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                walk(other, (*above, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())
