"""What CONTRIBUTING tells newcomers is true: the recipes are carried out on a copy of the checkout, and their own tests run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from homeserver import __main__ as command_line
from homeserver.storage import sqlite
from homeserver.storage.migrations import load, migrate
from homeserver.storage.postgres import Postgres
from homeserver.storage.sqlite import SQLite
from tests import databases
from tests.docs import pages
from tests.docs.pages import ROOT, Block

PAGE = pages.text(ROOT / "CONTRIBUTING.md")
RECIPES = ("A table", "An endpoint", "A room version")
COPIED = ("homeserver", "schema", "tests", "docs", "setup.cfg", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
NAMED = re.compile(r"(?:#|--) ([\w/]+\.(?:py|sql))\n")


def carry_out(block: Block, folder: Path) -> str:
    """Do what a block says; the file it is about."""
    found = NAMED.match(block.text.removeprefix(" ") if block.language == "diff" else block.text)
    assert found, f"a block does not say which file it is about: {block.text[:80]!r}"
    path = folder / found[1]
    if block.language == "diff":
        path.write_text(changed(path.read_text(), block.text.splitlines()[1:]))
    else:
        assert not path.exists(), f"{found[1]} is there already"
        path.write_text(block.text[found.end() :])
    return found[1]


def changed(text: str, difference: list[str]) -> str:
    """The text with the lines that `+` adds behind those that are named."""
    lines, at = text.splitlines(), 0
    for line in difference:
        if line.startswith("+"):
            lines.insert(at, line[1:])
            at += 1
        else:
            # What is named further down may stand further up: recipes follow the reader, not the file.
            places = [*range(at, len(lines)), *range(at)]
            at = 1 + next((place for place in places if lines[place] == line[1:]), -2)
            assert at > 0, f"there is no line {line[1:]!r}"
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which all recipes were carried out."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for recipe in RECIPES:
        for block in pages.blocks(pages.section(PAGE, recipe)):
            carry_out(block, folder)
    return folder


def run(folder: Path, *arguments: str) -> str:
    """The output of Python in a checkout; fails where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_recipes_work_as_they_stand(copy: Path) -> None:
    files = [found for recipe in RECIPES for block in pages.blocks(pages.section(PAGE, recipe)) for found in NAMED.findall(block.text)]
    tests = [name for name in files if name.startswith("tests/")]
    assert len(tests) == 2
    where = run(copy, "-c", "import homeserver; print(homeserver.__file__)")
    assert where.startswith(str(copy))
    output = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--engine", "sqlite", *tests, "tests/test_house.py")
    assert " passed" in output
    assert "skipped" not in output


@pytest.mark.slow
def test_the_generated_documents_show_what_is_new(copy: Path) -> None:
    run(copy, "-m", "homeserver", "reference", ".")
    assert "/org.example/saying" in (copy / "docs/endpoints.md").read_text()
    assert "`sayings`: What accounts live by." in (copy / "docs/map.md").read_text()


def test_the_new_table_is_made_in_a_database_that_exists(copy: Path, engine: str, tmp_path: Path) -> None:
    with databases.migrated(engine, tmp_path) as address:
        link: Any = SQLite(sqlite.connect(address, writes=True)) if engine == "sqlite" else Postgres(address)
        assert migrate(link, load(copy / "schema")) == ["0900_sayings.sql"]
        link.begin()
        assert link.all("SELECT user_id, saying FROM sayings", {}) == []
        link.rollback()
        link.close()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_ten_lines_at_most(recipe: str) -> None:
    steps = pages.steps(pages.section(PAGE, recipe)).splitlines()
    assert 4 <= len(steps) <= 10


def test_the_commands_of_the_set_up_exist() -> None:
    commands = [line.split("#")[0].split() for line in pages.section(PAGE, "Set-up").splitlines() if line.startswith("    ")]
    assert len(commands) >= 4
    for program, *arguments in commands:
        if program.endswith("/python"):
            assert all((ROOT / name).exists() for name in arguments if name.startswith("tests/"))
        elif program.endswith("/homeserver"):
            assert callable(command_line._parser().parse_args(arguments).act)
        else:
            assert os.access(ROOT / program, os.X_OK), program
