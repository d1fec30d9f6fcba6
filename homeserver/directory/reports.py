"""Reports of what should not be: kept for those who run the server.  Tells nobody whether what was reported exists.

spec: client-server-api#reporting-content
"""

from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.errors import LimitExceeded, NotFound
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.rooms import visibility
from homeserver.storage import accounts, directory, events, members
from homeserver.storage.database import Database
from homeserver.storage.directory import Report
from homeserver.storage.transactions import Transaction

DAY_MS = 24 * 3600 * 1000
MOST_PER_DAY = 200
MAX_REASON = 8000


@dataclass(frozen=True)
class Reports:
    """What users report."""

    database: Database
    clock: Clock

    async def event(self, reporter: UserID, room_id: RoomID, event_id: EventID, reason: str) -> None:
        """Report an event of a room that the reporter is in; raises `NotFound`."""
        await self.database.write(self._event, Report(reporter, reason[:MAX_REASON], room_id, event_id), self.clock.now())

    async def room(self, reporter: UserID, room_id: RoomID, reason: str) -> None:
        """Report a room; raises `NoSuchRoom`."""
        await self.database.write(self._room, Report(reporter, reason[:MAX_REASON], room_id), self.clock.now())

    async def user(self, reporter: UserID, user_id: UserID, reason: str, *, local: bool) -> None:
        """Report a user.  Who does not exist here is reported to nobody, and the reporter does not learn it."""
        report = Report(reporter, reason[:MAX_REASON], user_id=user_id)
        await self.database.write(self._user, report, local, self.clock.now())

    def _event(self, txn: Transaction, report: Report, now: int) -> None:
        assert report.room_id is not None and report.event_id is not None
        joined = members.is_joined(txn, report.room_id, report.reporter)
        stored = events.get(txn, report.room_id, report.event_id) if joined else None
        if stored is None or not visibility.shown_to_user(txn, UserID(report.reporter), [stored]):
            raise NotFound("There is no such event, or you are not in its room")
        self._add(txn, Report(report.reporter, report.reason, report.room_id, report.event_id, stored.event.sender), now)

    def _room(self, txn: Transaction, report: Report, now: int) -> None:
        visibility.find(txn, report.room_id or "", UserID(report.reporter))
        self._add(txn, report, now)

    def _user(self, txn: Transaction, report: Report, local: bool, now: int) -> None:
        if not local or accounts.get(txn, report.user_id or "") is not None:
            self._add(txn, report, now)

    def _add(self, txn: Transaction, report: Report, now: int) -> None:
        if directory.count_reports(txn, report.reporter, now - DAY_MS) >= MOST_PER_DAY:
            raise LimitExceeded(DAY_MS // 24)
        directory.add_report(txn, report, now)
