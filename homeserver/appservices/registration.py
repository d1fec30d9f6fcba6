"""The file with which an application service is registered.  Every mistake is told with its line and key.  Asks nobody.

spec: application-service-api#registration; keys that nobody here knows are passed over, as services put their own there
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from homeserver.events.identifiers import ServerName, UserID
from homeserver.settings import BadSettings

STABLE_EPHEMERAL = "receive_ephemeral"
OLD_EPHEMERAL = ("de.sorunome.msc2409.push_ephemeral", "push_ephemeral")
ENCRYPTION = ("org.matrix.msc3202", "io.element.msc3202", "org.matrix.msc4203", "de.sorunome.msc4203")
DEVICES = ("device_management", "io.element.msc4190", "org.matrix.msc4190")
SPACES = ("users", "aliases", "rooms")


@dataclass(frozen=True)
class Namespace:
    """Names of one kind: all that are of interest, and those that nobody else may use."""

    patterns: tuple[tuple[str, bool], ...] = ()
    """(regular expression, exclusive)"""

    @cached_property
    def _compiled(self) -> tuple[tuple[re.Pattern[str], bool], ...]:
        return tuple((re.compile(pattern), exclusive) for pattern, exclusive in self.patterns)

    def has(self, name: str) -> bool:
        """Whether the name is in it.  An expression matches from the start of a name; it need not reach its end."""
        return any(pattern.match(name) for pattern, _ in self._compiled)

    def has_alone(self, name: str) -> bool:
        """Whether the name is kept for this service."""
        return any(exclusive and pattern.match(name) for pattern, exclusive in self._compiled)


@dataclass(frozen=True)
class Service:
    """An application service, as its registration says."""

    id: str
    url: str | None
    as_token: str = field(repr=False)
    hs_token: str = field(repr=False)
    sender: UserID
    rate_limited: bool = True
    users: Namespace = Namespace()
    aliases: Namespace = Namespace()
    rooms: Namespace = Namespace()
    protocols: tuple[str, ...] = ()
    ephemeral: bool = False
    old_ephemeral: bool = False
    encryption: bool = False

    @property
    def wants_ephemeral(self) -> bool:
        """Whether it is told who types, reads and is there."""
        return self.ephemeral or self.old_ephemeral

    def owns(self, user_id: str) -> bool:
        """Whether it may act as this user: its sender, or a user of this server in one of its namespaces."""
        return user_id == self.sender or (user_id.endswith(f":{self.sender.domain}") and self.users.has(user_id))


def load(paths: Iterable[Path], server_name: ServerName) -> list[Service]:
    """The services of the files; raises `BadSettings`, also where two of them have the same id, token or sender."""
    found: list[Service] = []
    for path in paths:
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSettings([f"{path}: cannot be read: {error}"]) from None
        service = read_text(source, str(path), server_name)
        for other in found:
            for key in ("id", "as_token", "sender"):
                if getattr(other, key) == getattr(service, key):
                    raise BadSettings([f"{path}: {key}: the application service {other.id} has the same"])
        found.append(service)
    return found


def read_text(source: str, name: str, server_name: ServerName) -> Service:
    """The service that a file describes; raises `BadSettings` with all that is wrong."""
    try:
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise BadSettings([f"{name}{line}: is not YAML: {getattr(error, 'problem', None) or error}"]) from None
    reader = _Reader(name)
    service = reader.service(node, server_name)
    if reader.problems or service is None:
        raise BadSettings(reader.problems)
    return service


@dataclass
class _Reader:
    """Reads a file and notes what is wrong."""

    name: str
    problems: list[str] = field(default_factory=list)

    def service(self, node: yaml.Node | None, server_name: ServerName) -> Service | None:
        if not isinstance(node, yaml.MappingNode):
            self.problems.append(f"{self.name}, line 1: expected keys and values (id, url, as_token, hs_token, ...)")
            return None
        keys = {str(key.value): value for key, value in node.value}
        texts = {key: self._text(node, keys.get(key), key) for key in ("id", "as_token", "hs_token", "sender_localpart")}
        spaces = self._spaces(keys.get("namespaces"))
        sender = self._sender(keys, texts["sender_localpart"], server_name)
        url = self._url(node, keys)
        ephemeral, old = self._flag(keys, (STABLE_EPHEMERAL,)), self._flag(keys, OLD_EPHEMERAL)
        rate_limited = self._flag(keys, ("rate_limited",), default=True)
        encryption, _ = self._flag(keys, ENCRYPTION), self._flag(keys, DEVICES)
        protocols = self._protocols(keys.get("protocols"))
        if self.problems or sender is None:
            return None
        return Service(
            texts["id"], url, texts["as_token"], texts["hs_token"], sender, rate_limited,
            users=spaces["users"], aliases=spaces["aliases"], rooms=spaces["rooms"], protocols=protocols,
            ephemeral=ephemeral, old_ephemeral=old, encryption=encryption,
        )  # fmt: skip

    def _wrong(self, node: yaml.Node, key: str, sentence: str) -> None:
        self.problems.append(f"{self.name}, line {node.start_mark.line + 1}: {key}: {sentence}")

    def _text(self, whole: yaml.Node, node: yaml.Node | None, key: str) -> str:
        if node is None:
            self._wrong(whole, key, "is missing; expected text")
        elif not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null") or not node.value:
            self._wrong(node, key, "expected text")
        else:
            return str(node.value)
        return ""

    def _url(self, whole: yaml.Node, keys: dict[str, yaml.Node]) -> str | None:
        node = keys.get("url")
        if node is None:
            self._wrong(whole, "url", "is missing; expected an http(s) URL, or null for a service that is told nothing")
            return None
        if not isinstance(node, yaml.ScalarNode):
            self._wrong(node, "url", "expected an http(s) URL or null")
            return None
        if node.tag.endswith(":null") or not node.value:
            return None
        parts = urlsplit(node.value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            self._wrong(node, "url", f"expected an http(s) URL or null, got '{node.value}'")
        return str(node.value).rstrip("/")

    def _sender(self, keys: dict[str, yaml.Node], localpart: str, server_name: ServerName) -> UserID | None:
        if not localpart:
            return None
        try:
            return UserID.parse_new(f"@{localpart}:{server_name}")
        except ValueError as error:
            self._wrong(keys["sender_localpart"], "sender_localpart", str(error))
            return None

    def _flag(self, keys: dict[str, yaml.Node], names: Iterable[str], *, default: bool = False) -> bool:
        found = [(name, keys[name]) for name in names if name in keys]
        value = default
        for name, node in found:
            if not node.tag.endswith(":bool"):
                self._wrong(node, name, "expected true or false")
            value = str(node.value).lower() in ("true", "yes", "on")
            if value:
                break
        return value

    def _protocols(self, node: yaml.Node | None) -> tuple[str, ...]:
        if node is None or node.tag.endswith(":null"):
            return ()
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in node.value):
            self._wrong(node, "protocols", "expected a list of names")
            return ()
        return tuple(str(item.value) for item in node.value)

    def _spaces(self, node: yaml.Node | None) -> dict[str, Namespace]:
        found: dict[str, yaml.Node] = {}
        if isinstance(node, yaml.MappingNode):
            found = {str(key.value): value for key, value in node.value}
        elif node is not None and not node.tag.endswith(":null"):
            self._wrong(node, "namespaces", "expected users, aliases and rooms")
        return {kind: self._space(found.get(kind), f"namespaces.{kind}") for kind in SPACES}

    def _space(self, node: yaml.Node | None, key: str) -> Namespace:
        if node is None or node.tag.endswith(":null"):
            return Namespace()
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(node, key, "expected a list of regex and exclusive")
            return Namespace()
        return Namespace(tuple(self._pattern(item, f"{key}[{index}]") for index, item in enumerate(node.value)))

    def _pattern(self, node: yaml.Node, key: str) -> tuple[str, bool]:
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, key, "expected regex and exclusive")
            return "", False
        keys: dict[str, yaml.Node] = {str(name.value): value for name, value in node.value}
        regex = self._text(node, keys.get("regex"), f"{key}.regex")
        try:
            re.compile(regex)
        except re.error as error:
            self._wrong(keys["regex"], f"{key}.regex", f"is not a regular expression: {error}")
        return regex, self._flag(keys, ("exclusive",))
