"""The pages of the documentation as data: the code they name, where their links lead, their headings, their code blocks."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "homeserver"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_NAME = re.compile(r"`((?:\w+/)*\w+\.py):([A-Za-z_][\w.]*)`")
_FILE = re.compile(r"`((?:[.\w]+/)*\w+\.(?:py|sql|md|yaml|cfg|toml))`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.+?)\s*$", re.M)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Hop:
    """A function or class that a page names: the file below `homeserver/`, and its name in there."""

    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


@dataclass(frozen=True)
class Block:
    """A block of code."""

    language: str
    text: str


def text(path: Path) -> str:
    """What stands on a page."""
    return path.read_text(encoding="utf-8")


def shown(path: Path) -> str:
    """A page's name for people."""
    return path.relative_to(ROOT).as_posix()


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page)


def hops(page: str) -> list[Hop]:
    """The code that a text names, in its order."""
    return [Hop(*found) for found in _NAME.findall(page)]


def files(page: str) -> list[str]:
    """The files that a text names."""
    return _FILE.findall(page)


def links(page: str) -> list[str]:
    """Where its links lead."""
    return _LINK.findall(prose(page))


def headings(page: str) -> list[str]:
    """Its headings."""
    return [words for _, words in _HEADING.findall(prose(page))]


def anchors(page: str) -> set[str]:
    """What may stand after a # in a link to the page."""
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for words in headings(page)}


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of the same or a higher rank."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", page, re.M)
    assert found, f"there is no heading {heading!r}"
    rest = page[found.end() :]
    ends = re.search(rf"^#{{1,{len(found[1])}}} ", _FENCE.sub(lambda block: " " * len(block[0]), rest), re.M)
    return rest[: ends.start()] if ends else rest


def blocks(page: str) -> list[Block]:
    """Its blocks of code, in order."""
    return [Block(language, body) for language, body in _FENCE.findall(page)]


def steps(text: str) -> str:
    """The numbered lists of a text, without what stands between and behind them."""
    return "\n".join(line for line in text.splitlines() if re.match(r"\d+\. |   \S", line))


@cache
def definitions(file: Path) -> frozenset[str]:
    """Every function, class and name that a module defines, those of classes as `Class.name`."""
    return frozenset(_defined(ast.parse(text(file)).body, ""))


def _defined(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield prefix + node.name
            yield from _defined(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield prefix + node.target.id
        elif isinstance(node, ast.Assign):
            yield from (prefix + target.id for target in node.targets if isinstance(target, ast.Name))
