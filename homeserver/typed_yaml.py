"""A YAML file as a dataclass.  Every mistake is told with its line, its key and what is expected there.  Knows no setting.

Understood types: str, int, float, bool, Path, Literal, dataclasses, `X | None`, tuple[X, ...], dict[str, X], and any type with
`.parse(text)` that raises ValueError and, for the sentence, `EXPECTS`.  A dataclass may raise `WrongField` in `__post_init__`.
"""

import difflib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

T = TypeVar("T")


class WrongField(ValueError):
    """A value of the right type that cannot be meant: which field, and what is expected."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


class BadSettings(ValueError):
    """A file with mistakes; all of them, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Wrong(Exception):
    """Stops the reading of one value; what is wrong with it has been noted."""


def read(path: Path, kind: type[T]) -> T:
    """The file at `path` as a `kind`; raises `BadSettings`.  Relative paths in it are relative to its folder."""
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadSettings([f"{path}: there is no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings([f"{path}: cannot be read: {error}"]) from None
    return read_text(source, kind, str(path), path.parent)


def read_text(source: str, kind: type[T], name: str, folder: Path) -> T:
    """`source` as a `kind`; `name` stands in the messages of `BadSettings`."""
    try:
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BadSettings([_syntax(name, error)]) from None
    reader = _Reader(name, folder)
    try:
        value: T = reader.dataclass(node or _empty_mapping(), kind, "")
    except _Wrong:
        raise BadSettings(reader.problems) from None
    return value


def _empty_mapping() -> yaml.Node:
    start = yaml.Mark("", 0, 0, 0, None, 0)
    return yaml.MappingNode("tag:yaml.org,2002:map", [], start, start)


def _syntax(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    return f"{name}{line}: is not YAML: {getattr(error, 'problem', None) or error}"


@dataclass
class _Reader:
    """Walks the nodes of a file along the types and notes what is wrong."""

    name: str
    folder: Path
    problems: list[str] = field(default_factory=list)

    def wrong(self, node: yaml.Node, key: str, sentence: str) -> _Wrong:
        self.problems.append(f"{self.name}, line {node.start_mark.line + 1}: {key + ': ' if key else ''}{sentence}")
        return _Wrong()

    def dataclass(self, node: yaml.Node, kind: Any, key: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, key, f"expected keys and values ({', '.join(field.name for field in fields(kind))}), got {_shown(node)}")
        known, hints, before = {field.name: field for field in fields(kind)}, get_type_hints(kind), len(self.problems)
        values, places = {}, {}
        for name_node, value_node in node.value:
            name = str(name_node.value)
            where = f"{key}.{name}" if key else name
            if name not in known:
                self.wrong(name_node, where, f"is not a setting{_suggestion(name, list(known))}")
            elif name in values:
                self.wrong(name_node, where, "is given twice")
            else:
                places[name] = value_node
                values[name] = self._kept(value_node, hints[name], where)
        for name, declared in known.items():
            if name not in values and declared.default is MISSING and declared.default_factory is MISSING:
                self.wrong(node, f"{key}.{name}" if key else name, f"is missing; expected {expectation(hints[name])}")
        if len(self.problems) > before:
            raise _Wrong()
        try:
            return kind(**values)
        except WrongField as error:
            raise self.wrong(places.get(error.name, node), f"{key}.{error.name}" if key else error.name, str(error)) from None

    def _kept(self, node: yaml.Node, kind: Any, key: str) -> Any:
        try:
            return self.value(node, kind, key)
        except _Wrong:
            return None

    def value(self, node: yaml.Node, kind: Any, key: str) -> Any:
        """The value of `node` as a `kind`."""
        origin = get_origin(kind)
        if origin in (Union, UnionType):
            return self._optional(node, kind, key)
        if origin is tuple:
            return self._items(node, get_args(kind)[0], key)
        if origin is dict:
            return self._pairs(node, get_args(kind)[1], key)
        if origin is Literal:
            return self._choice(node, get_args(kind), key)
        if is_dataclass(kind) and not hasattr(kind, "parse"):
            return self.dataclass(node, kind, key)
        return self._scalar(node, kind, key)

    def _optional(self, node: yaml.Node, kind: Any, key: str) -> Any:
        if node.tag.endswith(":null"):
            return None
        (inner,) = (option for option in get_args(kind) if option is not NoneType)
        return self.value(node, inner, key)

    def _items(self, node: yaml.Node, kind: Any, key: str) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self.wrong(node, key, f"expected a list, got {_shown(node)}")
        before = len(self.problems)
        items = tuple(self._kept(item, kind, f"{key}[{index}]") for index, item in enumerate(node.value))
        if len(self.problems) > before:
            raise _Wrong()
        return items

    def _pairs(self, node: yaml.Node, kind: Any, key: str) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, key, f"expected keys and values, got {_shown(node)}")
        before = len(self.problems)
        pairs = {str(name.value): self._kept(value, kind, f"{key}.{name.value}") for name, value in node.value}
        if len(self.problems) > before:
            raise _Wrong()
        return pairs

    def _choice(self, node: yaml.Node, options: tuple[str, ...], key: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.value not in options:
            raise self.wrong(node, key, f"expected {_either(options)}, got {_shown(node)}")
        return str(node.value)

    def _scalar(self, node: yaml.Node, kind: Any, key: str) -> Any:
        if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null"):
            raise self.wrong(node, key, f"expected {expectation(kind)}, got {_shown(node)}")
        try:
            value = SCALARS[kind](node) if kind in SCALARS else kind.parse(node.value)
        except ValueError as error:
            reason = f" ({error})" if kind not in SCALARS and str(error) else ""
            shown = "something else" if getattr(kind, "SECRET", False) else _shown(node)
            raise self.wrong(node, key, f"expected {expectation(kind)}, got {shown}{reason}") from None
        return self.folder / value if kind is Path else value


def _number(node: yaml.ScalarNode) -> int:
    if not node.tag.endswith(":int"):
        raise ValueError
    return int(str(node.value).replace("_", ""))


def _real(node: yaml.ScalarNode) -> float:
    if not node.tag.endswith((":int", ":float")):
        raise ValueError
    return float(node.value)


def _flag(node: yaml.ScalarNode) -> bool:
    if not node.tag.endswith(":bool"):
        raise ValueError
    return node.value.lower() in ("true", "yes", "on")


SCALARS: dict[Any, Callable[[yaml.ScalarNode], Any]] = {
    str: lambda node: str(node.value),
    int: _number,
    float: _real,
    bool: _flag,
    Path: lambda node: Path(node.value),
}

NAMES: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def expectation(kind: Any) -> str:
    """What belongs where a `kind` is asked for, in words."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(expectation(option) for option in get_args(kind) if option is not NoneType) + " or nothing"
    if origin is tuple:
        return f"a list of {expectation(get_args(kind)[0])}"
    if origin is Literal:
        return _either(get_args(kind))
    if origin is dict or (is_dataclass(kind) and not hasattr(kind, "EXPECTS")):
        return "keys and values"
    return NAMES.get(kind) or str(getattr(kind, "EXPECTS", kind.__name__))


def _either(options: tuple[str, ...]) -> str:
    return options[0] if len(options) == 1 else f"{', '.join(options[:-1])} or {options[-1]}"


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if node.tag.endswith(":null") else f"'{node.value[:60]}'"
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys and values"
