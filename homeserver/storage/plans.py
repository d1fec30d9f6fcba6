"""Which statements a PostgreSQL connection has planned, and what is said to have one carried out.  Sends nothing.

Parsing and planning cost the database more than most statements themselves.  PostgreSQL decides per statement, by cost, whether one
plan is good for all values (plan_cache_mode = auto).
"""

import re
from collections import Counter
from collections.abc import Iterator

USES = 5  # before a statement is worth a plan
MOST = 400
_PARAMETER = re.compile(r"%%|%\((\w+)\)s|%s")


class Plans:
    """The plans of one connection, under the texts of the statements as psycopg2 takes them."""

    def __init__(self) -> None:
        self._calls: dict[str, str] = {}
        self._uses: Counter[str] = Counter()
        self._wanted: list[str] = []

    def call(self, text: str) -> str:
        """The text to send instead: a call of the plan, or the statement itself."""
        known = self._calls.get(text)
        if known is not None:
            return known
        self._uses[text] += 1
        if self._uses[text] == USES and len(self._calls) + len(self._wanted) < MOST:
            self._wanted.append(text)
        elif len(self._uses) > 4 * MOST:  # texts that come once only, such as those with a table's own columns
            self._uses.clear()
        return text

    def wanted(self) -> Iterator[tuple[str, str]]:
        """(statement that makes it, text) of each plan that is worth making now."""
        wanted, self._wanted = self._wanted, []
        for text in wanted:
            spelled, names = _numbered(text)
            name = f"p{len(self._calls)}"
            arguments = ", ".join(f"%({given})s" if given else "%s" for given in names)
            self._calls[text] = f"EXECUTE {name}({arguments})" if names else f"EXECUTE {name}"
            yield f"PREPARE {name} AS {spelled}", text

    def impossible(self, text: str) -> None:
        """PostgreSQL cannot tell the types of its parameters: it is sent as it is."""
        self._calls[text] = text


def _numbered(text: str) -> tuple[str, list[str]]:
    """A text with `$1` for its first parameter and so on; the names of the parameters, "" for those without."""
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        if found[1] is None or found[1] not in names:
            names.append(found[1] or "")
            return f"${len(names)}"
        return f"${names.index(found[1]) + 1}"

    return _PARAMETER.sub(place, text), names
