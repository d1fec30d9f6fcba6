"""Where a writing process stands: its own number, its count of positions, its event numbers.  One row in `writers` keeps it.

On SQLite there is one writer, 0.
"""

from homeserver.storage.links import Link
from homeserver.storage.positions import position


class Stream:
    """The serial stream of the one writer of a SQLite database."""

    def __init__(self) -> None:
        self.writer = self.count = self.number = 0
        self._stored = (0, 0)

    def open(self, link: Link) -> None:
        """Find out where the writer stands."""
        link.begin()
        link.run("INSERT INTO writers (writer, count, number, groups, holder, until) VALUES (0, 0, 0, 0, '', 0) ON CONFLICT DO NOTHING", {})
        rows = link.all("SELECT count, number FROM writers WHERE writer = 0", {})
        link.commit()
        self.count, self.number = self._stored = rows[0][0], rows[0][1]

    @property
    def committed(self) -> int:
        """The count of the last commit."""
        return self._stored[0]

    def next_position(self) -> int:
        """The next position."""
        self.count += 1
        return position(self.writer, self.count)

    def next_number(self) -> int:
        """The next event number."""
        self.number += 1
        return position(self.writer, self.number)

    def seal(self, link: Link) -> None:
        """Store where the writer will stand after the commit."""
        if (self.count, self.number) != self._stored:
            link.run("UPDATE writers SET count = :count, number = :number WHERE writer = 0", {"count": self.count, "number": self.number})

    def sealed(self) -> None:
        """The commit succeeded."""
        self._stored = (self.count, self.number)

    def reset(self) -> None:
        """The transaction was rolled back.  Event numbers are not used again: something may remember them."""
        self.count = self._stored[0]

    def idle(self, link: Link) -> None:
        """Called now and then while there is nothing to do."""

    def recover(self, link: Link) -> bool:
        """The connection was lost and is back: whether the commit that was under way was carried out."""
        return False
