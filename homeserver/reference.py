"""The documents that are made from the code: sample settings, the table of settings, of endpoints, the map of modules and tables.

`homeserver reference DIR` writes them; a test compares.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from twisted.internet.task import Clock as StillClock

from homeserver import folder, typed_yaml
from homeserver.clock import Clock
from homeserver.composition.ground import Given
from homeserver.events.identifiers import ServerName
from homeserver.federation.failures import Unreachable
from homeserver.federation.transport import Answer, Outgoing, Stream
from homeserver.identity import Identity, generate_key
from homeserver.server import build
from homeserver.settings import DEFAULT_RATES, Settings
from homeserver.storage.migrations import directory
from homeserver.storage.opening import open_database
from homeserver.units import Secret
from homeserver.web.endpoints import Endpoint
from homeserver.web.router import OLDER, resources_of


@dataclass(frozen=True)
class Setting:
    """One setting: its keys, type, default, what it is for."""

    path: str
    kind: Any
    default: Any
    words: str


def documents() -> dict[str, str]:
    """Every generated file by its path in the checkout."""
    return {
        "config/minimal.yaml": folder.settings_text(ServerName.parse("example.org")),
        "config/full.yaml": full_yaml(),
        "docs/settings.md": settings_table(),
        "docs/endpoints.md": endpoints_table(),
        "docs/map.md": code_map(),
    }


def _words(kind: type) -> tuple[str, dict[str, str]]:
    """The docstring of a dataclass, and the texts that stand under its fields."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            found[before.target.id] = inspect.cleandoc(str(ast.literal_eval(after.value)))
    return inspect.cleandoc(kind.__doc__ or ""), found


def _members(kind: type) -> Iterator[Setting]:
    hints, (_, words) = get_type_hints(kind), _words(kind)
    for field in fields(kind):
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        yield Setting(field.name, hints[field.name], default, words.get(field.name, ""))


def _group(kind: Any) -> Any:
    """The dataclass a setting is a group of, if it is one: also for an optional group and a list of groups."""
    options = [kind, *(option for option in get_args(kind) if option not in (NoneType, Ellipsis))]
    return next((option for option in options if is_dataclass(option) and not hasattr(option, "parse")), None)


def full_yaml() -> str:
    """A sample with every setting at its default, commented out where it has none."""
    lines = ["# Every setting with its default.  Made from the code (`homeserver reference`), never edited by hand.", ""]
    for setting in _members(Settings):
        group = _group(setting.kind)
        words = setting.words or (_words(group)[0] if group else "")
        lines += [f"# {line}" for line in words.splitlines()]
        if group is None:
            lines += [_line(setting, "", "example.org" if setting.path == "server_name" else None), ""]
            continue
        marker = "  - " if isinstance(setting.default, tuple) else "  "
        off = "#" if setting.default is None else ""
        lines.append(f"{off}{setting.path}:")
        for index, member in enumerate(_members(group)):
            example = "8008" if (setting.path, member.path) == ("listeners", "port") else None
            indent = marker if index == 0 else " " * len(marker)
            lines += [f"{off}{' ' * len(marker)}# {line}" for line in member.words.splitlines()]
            lines.append(off + _line(member, indent, example))
        lines.append("")
    return "\n".join(lines)


def _line(setting: Setting, indent: str, example: str | None) -> str:
    if example is not None:
        return f"{indent}{setting.path}: {example}"
    if setting.default is MISSING:
        return f"{indent}{setting.path}: ..."
    if setting.default is None:
        return f"{indent}{setting.path}:"
    return f"{indent}{setting.path}: {_yaml(setting.default)}"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_yaml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, str) and (value == "" or value.isdigit()):
        return f'"{value}"'
    return str(value)


def settings_table() -> str:
    """All settings as tables."""
    lines = ["# Settings", "", "Made from `homeserver/settings.py` by `homeserver reference`, never edited by hand.", ""]
    lines += ["A value that may be `nothing` is left out or left empty.  Relative paths are relative to the folder of the YAML file.", ""]
    lines += [*_table([setting for setting in _members(Settings) if _group(setting.kind) is None])]
    for setting in _members(Settings):
        group = _group(setting.kind)
        if group is not None:
            words = _words(group)[0] + ("  A list." if isinstance(setting.default, tuple) else "")
            lines += ["", f"## {setting.path}", "", words, "", *_table(list(_members(group)))]
    lines += ["", "## Names of the rates", "", "| name | per_second, burst |", "|---|---|"]
    lines += [f"| {name} | {rate} |" for name, rate in DEFAULT_RATES.items()]
    return "\n".join(lines) + "\n"


def _table(settings: list[Setting]) -> list[str]:
    rows = ["| key | expected | default | |", "|---|---|---|---|"]
    for setting in settings:
        default = "required" if setting.default is MISSING else "" if setting.default in (None, ()) else f"`{_yaml(setting.default)}`"
        if isinstance(setting.default, Secret):
            default = ""
        words = " ".join(setting.words.split()).replace("|", "\\|")
        rows.append(f"| `{setting.path}` | {typed_yaml.expectation(setting.kind)} | {default} | {words} |")
    return rows


def endpoints_table() -> str:
    """All endpoints as a table."""
    rows = sorted((_row(endpoint) for endpoint in _endpoints()), key=lambda row: (row[1], row[0]))
    aliases = [f"`{path}` is served under {', '.join(f'`{older}`' for older in others)}, too." for path, others in OLDER.items()]
    lines = ["# Endpoints", "", "Made from the declarations by `homeserver reference`, never edited by hand.", "", " ".join(aliases), ""]
    lines += ["| verb | path | who | limit | on | what |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


class _Nowhere:
    """A network without anybody: documents need none."""

    async def request(self, outgoing: Outgoing) -> Answer:
        """Reaches nobody."""
        raise Unreachable(outgoing.who, "there is no network")

    async def stream(self, outgoing: Outgoing) -> Stream:
        """Reaches nobody."""
        raise Unreachable(outgoing.who, "there is no network")


def _endpoints() -> Iterator[Endpoint]:
    """The endpoints of a server that has everything switched on."""
    name, still = ServerName.parse("example.org"), StillClock()
    given = Given(open_database(":memory:", still), _Nowhere(), Clock(still), Identity(name, generate_key()))
    older = tuple(path for others in OLDER.values() for path in others)
    seen = set()
    for endpoint in build(Settings(server_name=name), still, given).router.endpoints():
        route = endpoint.route
        if not route.path.startswith(older) and (route.method, route.path) not in seen:
            seen.add((route.method, route.path))
            yield endpoint


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    route, options = endpoint.route, endpoint.route.options
    who = "server" if endpoint.origin else "anybody" if not endpoint.caller else "account or anybody" if endpoint.anonymous else "account"
    if options.admin:
        who = "administrator"
    words = (inspect.getdoc(endpoint.call) or "").split("\n")[0]
    where = ", ".join(sorted(resources_of(route.path)))
    return (route.method, f"`{route.path}`", who, options.limit or "", where, words.replace("|", "\\|"))


_TABLE = re.compile(r"((?:^--.*\n)*)(?:^\n)?^CREATE TABLE (\w+)", re.M)


def code_map() -> str:
    """All modules with what they say of themselves, and all tables with the comments above them."""
    lines = ["# Map", "", "Made from the code by `homeserver reference`, never edited by hand.", "", "## Modules"]
    package = Path(__file__).parent
    for place in sorted(path.parent for path in package.rglob("__init__.py")):
        name = place.relative_to(package.parent).as_posix()
        lines += ["", f"### {name}", "", _paragraph(place / "__init__.py"), ""]
        lines += [f"- `{file.name}`: {_paragraph(file)}" for file in sorted(place.glob("*.py")) if file.name != "__init__.py"]
    lines += ["", "## Tables"]
    for file in sorted(directory().glob("*.sql")):
        lines += ["", f"### schema/{file.name}", ""]
        for comment, table in _TABLE.findall(file.read_text(encoding="utf-8")):
            words = " ".join(line.removeprefix("--").strip() for line in comment.splitlines())
            lines.append(f"- `{table}`" + (f": {words}" if words else ""))
    return "\n".join(lines) + "\n"


def _paragraph(file: Path) -> str:
    """The first paragraph of a module's docstring."""
    words = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(words.split("\n\n")[0].split()).replace("<", "\\<")


def write(checkout: Path) -> None:
    """Write all documents into a checkout."""
    for path, text in documents().items():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(text)
