"""Where a writing process stands: its own number, its count of positions, its event numbers.  One row in `writers` keeps it.

On SQLite there is one writer, 0.
"""

from uuid import uuid4

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
            link.later("UPDATE writers SET count = :count, number = :number WHERE writer = 0", {"count": self.count, "number": self.number})

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

    def close(self, link: Link) -> None:
        """This process writes no more."""


NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
LEASE = 60_000  # ms
TAKE = f"SELECT writer, count, number, groups FROM writers WHERE until < {NOW} ORDER BY writer LIMIT 1"
NEW = """
    INSERT INTO writers (writer, count, number, groups, holder, until)
    SELECT COALESCE(max(writer) + 1, 0), 0, 0, 0, '', 0 FROM writers RETURNING writer, count, number, groups
"""
HOLD = f"UPDATE writers SET holder = :holder, until = {NOW} + :lease WHERE writer = :writer"
MINE = "SELECT count, number, groups FROM writers WHERE writer = :writer AND holder IN :holders FOR UPDATE"
LEAVE = "UPDATE writers SET until = 0 WHERE writer = :writer AND holder = :holder"
RENEW = f"UPDATE writers SET until = {NOW} + :lease WHERE writer = :writer AND holder = :holder"
# Divides by zero, and so fails the commit, if somebody else has taken the row.
SEAL = f"""
    WITH sealed AS (
        UPDATE writers SET count = :count, number = :number, groups = :groups, until = {NOW} + :lease
        WHERE writer = :writer AND holder = :holder RETURNING 1
    ) SELECT 1 / count(*) FROM sealed
"""


class LeasedStream(Stream):
    """The stream of one of many writers: its number is leased on the database's clock, and proven with every commit."""

    def __init__(self) -> None:
        super().__init__()
        self._groups = 0
        self._holders = [""]  # the last one counts; the others may still stand in the row

    @property
    def _holder(self) -> str:
        return self._holders[-1]

    def open(self, link: Link) -> None:
        """Take the place of a writer that is gone, or a new one."""
        holder = uuid4().hex
        link.begin()
        link.all("SELECT pg_advisory_xact_lock(7205759403792795)", {})
        found = link.all(TAKE, {}) or link.all(NEW, {})
        writer, count, number, groups = found[0]
        link.run(HOLD, {"writer": writer, "holder": holder, "lease": LEASE})
        link.commit()
        self.writer, self.count, self.number, self._groups, self._holders = writer, count, number, groups, [holder]
        self._stored = (count, number)

    def seal(self, link: Link) -> None:
        """Store where the writer will stand after the commit."""
        values = {"count": self.count, "number": self.number, "groups": self._groups + 1}
        link.later(SEAL, {**values, "writer": self.writer, "holder": self._holder, "lease": LEASE})

    def sealed(self) -> None:
        """The commit succeeded."""
        super().sealed()
        self._groups += 1

    def idle(self, link: Link) -> None:
        """Keep the lease; if it is lost, take another."""
        link.begin()
        kept = link.run(RENEW, {"writer": self.writer, "holder": self._holder, "lease": LEASE})
        link.commit()
        if not kept:
            self.open(link)

    def recover(self, link: Link) -> bool:
        """The connection was lost and is back: whether the commit that was under way was carried out.

        The row's lock waits for a commit that still runs; the new holder's name fails one that has not begun.  If this
        fails, too, call it again: it knows all names under which it may hold the row.
        """
        self._holders.append(uuid4().hex)
        link.begin()
        found = link.all(MINE, {"writer": self.writer, "holders": self._holders})
        if found:
            link.run(HOLD, {"writer": self.writer, "holder": self._holder, "lease": LEASE})
        link.commit()
        if not found:
            self.open(link)
            return False
        count, number, groups = found[0]
        committed = bool(groups == self._groups + 1)
        self._holders = self._holders[-1:]
        self._groups, self._stored = groups, (count, number)
        self.count, self.number = count, max(number, self.number)
        return committed

    def close(self, link: Link) -> None:
        """Leave the place to the next process at once."""
        link.begin()
        link.run(LEAVE, {"writer": self.writer, "holder": self._holder})
        link.commit()
