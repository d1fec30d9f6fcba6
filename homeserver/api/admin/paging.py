"""What lists for operators have in common: where to begin, how much, in which order."""

from typing import Any, Literal

import msgspec

from homeserver.storage.overview import Page


class Paging(msgspec.Struct, rename={"start": "from"}):
    """Which part of a list."""

    start: int = 0
    limit: int = 100
    order_by: str = ""
    dir: Literal["f", "b"] = "f"

    @property
    def page(self) -> Page:
        """The same for the storage."""
        return Page(self.start, self.limit, self.order_by, self.dir == "b")

    def answer(self, name: str, found: list[Any], total: int) -> dict[str, Any]:
        """A page as Synapse shows it: the list, the total, and where the next one begins."""
        answer: dict[str, Any] = {name: found, "total": total}
        after = max(0, self.start) + len(found)
        return answer | ({"next_token": str(after)} if found and after < total else {})
