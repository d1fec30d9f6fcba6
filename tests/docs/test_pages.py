"""What the documents name exists: code, files, links, headings, packages, settings.  And the generated ones are as the code is."""

import re
from pathlib import Path

import pytest

from homeserver import reference
from tests.docs import pages
from tests.docs.pages import CODE, PAGES, ROOT, Hop
from tests.test_house import RANK, RANKS

DOCS = ROOT / "docs"
ARCHITECTURE = DOCS / "architecture.md"
NAMES = [pages.shown(page) for page in PAGES]
SOURCES = sorted([*CODE.rglob("*.py"), *(ROOT / "schema").glob("*.sql"), *(ROOT / "tests").rglob("*.py"), ROOT / "setup.cfg"])
# A page that a comment in the code sends its reader to, and the heading there where it names one.
POINTER = re.compile(r"`?\b((?:docs/[\w./-]+|README|CONTRIBUTING|CHANGELOG)\.md)`?(?:, \"([^\"]+)\")?")
# What users have in their folders and no checkout has.
ELSEWHERE = {"homeserver.yaml"}


def exists(name: str, page: Path) -> bool:
    """Whether a file that a page names is there: in the checkout, in the package, beside the page, or anywhere under that bare name."""
    places = (ROOT / name, CODE / name, page.parent / name)
    return any(place.exists() for place in places) or ("/" not in name and any(ROOT.rglob(f"[!.]*/{name}"))) or Path(name).name in ELSEWHERE


def is_defined(hop: Hop) -> bool:
    return (CODE / hop.file).is_file() and hop.name in pages.definitions(CODE / hop.file)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_code_that_a_page_names_exists(page):
    text = pages.text(page)
    wrong = [str(hop) for hop in pages.hops(text) if not is_defined(hop)]
    wrong += [name for name in pages.files(text) if not exists(name, page)]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    wrong = []
    for link in pages.links(pages.text(page)):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in pages.anchors(pages.text(path))):
            wrong.append(link)
    assert not wrong


def test_the_code_sends_its_readers_to_pages_that_exist():
    wrong = []
    for path in SOURCES:
        for name, heading in POINTER.findall(pages.text(path)):
            page = ROOT / name
            if not page.exists() or (heading and heading not in pages.headings(pages.text(page))):
                wrong.append(f"{pages.shown(path)}: {name} {heading}")
    assert not wrong


def test_every_package_is_named_with_its_rank():
    rows = re.findall(r"^\| (\d+) \| `(\w+)`.*\|$", pages.section(pages.text(ARCHITECTURE), "Packages"), re.M)
    told = {(int(rank), name) for rank, name in rows}
    packages = {path.parent.name for path in CODE.glob("*/__init__.py")}
    assert told == {(RANK[name], name) for name in packages}
    assert {name for ranked in RANKS for name in ranked if (CODE / name).is_dir()} == packages


def test_every_package_and_every_group_of_settings_is_explained():
    groups = re.findall(r"^## (\w+)$", reference.settings_table(), re.M)
    operators = pages.text(DOCS / "operators.md")
    assert [group for group in groups if f"`{group}" not in operators] == []


def test_decisions_have_a_number_each_and_stand_in_the_list():
    files = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md")
    numbers = [path.name[:4] for path in files]
    assert len(set(numbers)) == len(numbers), numbers
    for path in files:
        assert re.match(rf"# {path.name[:4]}: \S", pages.text(path)), path.name
    listed = pages.links(pages.text(DOCS / "decisions" / "README.md"))
    assert sorted(listed) == [path.name for path in files]


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = [link.partition("#")[0] for link in pages.links(pages.text(page)) if "://" not in link]
        waiting += [(page.parent / target).resolve() for target in targets if target]
    assert [pages.shown(page) for page in PAGES if page not in reached] == []
