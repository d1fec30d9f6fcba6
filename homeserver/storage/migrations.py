"""The numbered files in schema/, each applied once, in order, under a lock.  Knows no table but its own."""

import hashlib
import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from homeserver.storage.dialect import script
from homeserver.storage.links import Link

_NAME = re.compile(r"(\d{4})_\w+\.sql")
INSTALLED = "share/homeserver/schema"  # setup.cfg, data_files


class SchemaError(Exception):
    """The database and this version of the program do not fit; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """A short fingerprint of the file."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()


def directory() -> Path:
    """Where the files are: next to the package in a checkout, else where pip put them."""
    checkout = Path(__file__).resolve().parents[2] / "schema"
    if (checkout / "0000_storage.sql").exists():
        return checkout
    for file in importlib.metadata.files("homeserver") or ():
        if file.parent.as_posix().endswith(INSTALLED):
            return Path(str(file.locate())).resolve().parent
    raise SchemaError("The schema files are missing: install the package again")


def load(folder: Path) -> list[Migration]:
    """The migrations in a folder, in order."""
    files = [(found, path) for path in sorted(folder.glob("*.sql")) if (found := _NAME.fullmatch(path.name))]
    numbers = [found[1] for found, _ in files]
    twice = {number for number in numbers if numbers.count(number) > 1}
    if twice:
        raise SchemaError(f"Two files in schema/ have the number {', '.join(sorted(twice))}")
    return [Migration(int(found[1]), path.name, path.read_text("utf-8")) for found, path in files]


def migrate(link: Link, migrations: list[Migration]) -> list[str]:
    """Bring the database up to date; the names of what was applied.

    Each file is a transaction of its own, so after a crash the next call goes on where this one ended.
    """
    link.begin()
    _lock(link)
    link.run("CREATE TABLE IF NOT EXISTS migrations (number SMALLINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)", {})
    link.commit()
    applied = [migration.name for migration in migrations if _apply(link, migration, migrations)]
    return applied


def _apply(link: Link, migration: Migration, all_known: list[Migration]) -> bool:
    link.begin()
    try:
        _lock(link)
        found = link.all("SELECT number, name, checksum FROM migrations", {})
        done = {number: (name, checksum) for number, name, checksum in found}
        check(done, all_known)
        if migration.number in done:
            return False
        for statement in script(migration.text, link.engine):
            link.run(statement, {})
        row = {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
        link.run("INSERT INTO migrations (number, name, checksum) VALUES (:number, :name, :checksum)", row)
        link.commit()
        return True
    finally:
        link.rollback()


def check(done: dict[int, tuple[str, str]], known: list[Migration]) -> None:
    """Raise `SchemaError` unless what was applied to the database is what the files say."""
    newest = max((migration.number for migration in known), default=-1)
    for number, (name, checksum) in sorted(done.items()):
        if number > newest:
            raise SchemaError(f"The database was made by a newer version: it has {name}, this one ends at {newest:04}. Install that one")
        file = next((migration for migration in known if migration.number == number), None)
        if file is None:
            raise SchemaError(f"The database has {name}, of which this version knows nothing")
        if file.checksum != checksum:
            raise SchemaError(f"schema/{file.name} was changed after it had been applied (applied {checksum}, now {file.checksum})")


def _lock(link: Link) -> None:
    if link.engine == "postgres":
        link.all("SELECT pg_advisory_xact_lock(7205759403792794)", {})
