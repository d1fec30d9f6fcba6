"""The examples of the documents work: commands, settings, the story for developers, the copy of a database that is in use."""

import ast
import re
import sqlite3
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from homeserver import __main__ as command_line
from homeserver import reference
from homeserver.settings import Settings, load
from homeserver.storage.opening import open_database
from homeserver.web.metrics import Metrics
from tests.docs import pages
from tests.docs.pages import CODE, PAGES, ROOT
from tests.storage.notes import Loop

OPERATORS = pages.text(ROOT / "docs" / "operators.md")
EVERYTHING = "\n".join(pages.text(page) for page in PAGES)
SNIPPET = re.compile(r"`(\w+: (?:\{[^`]*\}|\[[^`]*\]|[\w.]+))`")
COMMAND = re.compile(r"^    (?:\S*/)?homeserver ((?:init|run|start|check-config|token|user|reference|version)\b[^#\n&]*)", re.M)


def commands() -> list[str]:
    return sorted({found.strip() for found in COMMAND.findall(EVERYTHING)})


def snippets() -> list[str]:
    told = set(SNIPPET.findall(EVERYTHING))
    names = {field.name for field in fields(Settings)}
    return sorted(one for one in told if one.partition(":")[0] in names)


def kinds(kind: Any) -> list[Any]:
    """The dataclasses that a setting may be."""
    return [one for one in (kind, *get_args(kind)) if hasattr(one, "__dataclass_fields__")]


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documents_is_one(command: str) -> None:
    assert callable(command_line._parser().parse_args(command.split()).act)


@pytest.mark.parametrize("snippet", snippets())
def test_a_setting_of_the_documents_is_one(snippet: str) -> None:
    ((group, inside),) = yaml.safe_load(snippet.replace("...", "x")).items()
    for one in inside if isinstance(inside, list) else [inside]:
        if isinstance(one, dict):
            known = {field.name for kind in kinds(get_type_hints(Settings)[group]) for field in fields(kind)}
            assert one.keys() <= known, one.keys() - known


def test_enough_was_found_to_say_so() -> None:
    assert len(commands()) >= 8
    assert len(snippets()) >= 12


def test_the_settings_of_the_listeners_load(tmp_path: Path) -> None:
    listeners = next(part for part in OPERATORS.split("\n\n") if part.startswith("    listeners:"))
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: example.org\n" + "\n".join(line[4:] for line in listeners.splitlines()) + "\n")
    assert [one.resources for one in load(file).listeners] == [("client", "federation"), ("metrics",)]


def test_metrics_have_the_names_that_operators_are_told() -> None:
    metrics = Metrics()
    metrics.observe(None, 200, 0.1)
    metrics.lag.observe(0.1)
    told = re.findall(r"`(homeserver_\w+)`", OPERATORS)
    assert len(told) >= 3
    assert [name for name in told if name.encode() not in metrics.text()] == []


def test_no_setting_is_without_effect() -> None:
    """Every setting is read somewhere."""
    read: set[str] = set()
    for path in CODE.rglob("*.py"):
        tree = ast.parse(pages.text(path))
        # In the settings themselves only what a property makes of them counts.
        bodies = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] if path.name == "settings.py" else [tree]
        read |= {node.attr for body in bodies for node in ast.walk(body) if isinstance(node, ast.Attribute)}
    assert not {path for path in every_setting() if path.rpartition(".")[2] not in read}


def every_setting() -> set[str]:
    found = set()
    for group, kind in get_type_hints(Settings).items():
        found |= {f"{group}.{field.name}" for one in kinds(kind) for field in fields(one)} if kinds(kind) else {group}
    return found


def test_a_database_in_use_is_copied_as_operators_are_told(tmp_path: Path) -> None:
    code = re.search(r'-c "(import sqlite3; .*?)"\n', OPERATORS)
    assert code, "there is no command for a copy"
    (tmp_path / "data").mkdir()
    loop = Loop()
    database = open_database(str(tmp_path / "data" / "homeserver.db"), loop)
    try:
        loop.run(database.write(lambda txn: txn.run("CREATE TABLE notes (note TEXT)")))
        for number in range(50):
            loop.run(database.write(lambda txn, note=str(number): txn.insert("notes", note=note)))
        subprocess.run([sys.executable, "-c", code[1]], cwd=tmp_path, check=True)
        loop.run(database.write(lambda txn: txn.insert("notes", note="later")))
    finally:
        database.close()
    copy = sqlite3.connect(tmp_path / "backup.db")
    assert copy.execute("SELECT count(*) FROM notes").fetchone() == (50,)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    again = open_database(str(tmp_path / "backup.db"), Loop())
    again.close()


def test_the_story_for_developers_is_true(engine: str) -> None:
    story = next(block for block in pages.blocks(pages.text(ROOT / "docs" / "developers.md")) if block.language == "python")
    names: dict[str, Any] = {}
    exec(compile(story.text, "docs/developers.md", "exec"), names)
    told = [value for name, value in names.items() if name.startswith("test_")]
    assert len(told) == 1
    told[0](engine=engine)


def test_generated_pages_say_that_they_are() -> None:
    for name, text in reference.documents().items():
        if name.endswith(".md"):
            assert "never edited by hand" in text, name
