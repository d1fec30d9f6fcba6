"""Emptying rooms, by order of an operator: of everybody and everything, of old messages, or of those of one user.

The work is written down before it begins, is done in small acts, and goes on after a restart.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from homeserver.bus.publishing import GONE
from homeserver.errors import NotFound, Refused
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.events.swarm.names import NO_DEVICE
from homeserver.membership.leaves import Leaves
from homeserver.rooms.timeline import Timeline
from homeserver.storage import leases, members, room_jobs
from homeserver.storage.room_jobs import ACTIVE, COMPLETE, DELETE, FAILED, PURGE, REDACT, Job
from homeserver.storage.transactions import Transaction
from homeserver.work import Work

WORK = "room_jobs"
AT_ONCE = 200
LEASE_MS, LOOK_SECONDS, WAIT_SECONDS = 90_000, 30.0, 0.25
PARTING_SECONDS = 10.0  # so long may the leaves take on their way
KEPT_MS = 7 * 24 * 3600 * 1000
PRESENT = ("join", "invite", "knock")

log = Logger()


@dataclass
class Clearing:
    """Orders about rooms, and the work that they make."""

    timeline: Timeline
    leaves: Leaves
    _holder: str = field(default_factory=lambda: secrets.token_hex(16))

    async def order(self, kind: str, room_id: RoomID | UserID, wanted: Mapping[str, Any]) -> Job:
        """Order a deletion or a purge; it is done soon."""
        job = Job(secrets.token_urlsafe(12), kind, room_id, wanted, ts=self.timeline.clock.now())
        await self.timeline.database.write(_order, job)
        return job

    @cached_property
    def work(self) -> Work:
        """The work in the background, with what was not finished at the last stop."""
        return Work(self.timeline.database.wakeups, self._look, (WORK, GONE), again=LOOK_SECONDS)

    async def _look(self) -> float:
        database = self.timeline.database
        for job in await database.read(room_jobs.waiting):
            if database.engine == "sqlite":
                await self._carry_out(job)
            elif await database.write(leases.hold, f"{WORK} {job.id}", self._holder, LEASE_MS):
                try:
                    await self._carry_out(job)
                finally:
                    await database.write(leases.leave, f"{WORK} {job.id}", self._holder)
        await database.write(room_jobs.forget, self.timeline.clock.now() - KEPT_MS)
        return LOOK_SECONDS

    async def done(self, job: Job) -> Job:
        """The job when it has ended, well or not."""
        while job.status not in (COMPLETE, FAILED):
            await self.timeline.clock.sleep(WAIT_SECONDS)
            known = await self.timeline.database.read(room_jobs.get, job.id)
            job = replace(job, status=COMPLETE) if known is None else known
        return job

    async def _carry_out(self, job: Job) -> Job:
        """Do the work, from wherever it stopped."""
        database = self.timeline.database
        known = await database.read(room_jobs.get, job.id)
        if known is None or known.status in (COMPLETE, FAILED):
            return known or job
        job = replace(known, status=ACTIVE)
        await database.write(room_jobs.store, job)
        try:
            work = {DELETE: self._delete, PURGE: self._purge, REDACT: self._redact}[job.kind]
            job = replace(await work(job), status=COMPLETE)
        except CancelledError:
            raise
        except Exception as error:
            log.failure("The {kind} of room {room} failed", kind=job.kind, room=job.room_id)
            job = replace(job, status=FAILED, result={**job.result, "error": str(error)})
        await database.write(room_jobs.store, job)
        return job

    async def _delete(self, job: Job) -> Job:
        database, room_id = self.timeline.database, RoomID(job.room_id)
        result = {"kicked_users": [], "failed_to_kick_users": [], **job.result}
        for member in await database.read(members.of_room, room_id, PRESENT):
            if self.timeline.identity.is_mine(member.user_id):
                out = await self._send_out(member.user_id, room_id)
                result["kicked_users" if out else "failed_to_kick_users"].append(member.user_id)
        job = replace(job, result=result)
        await database.write(room_jobs.store, job)
        if not job.wanted.get("purge"):
            return job
        if result["failed_to_kick_users"] and not job.wanted.get("force_purge"):
            raise Refused(400, "M_UNKNOWN", "Some users could not be sent out; force_purge deletes the room all the same")
        # Clients hear of it by then, and other servers.
        await self.timeline.clock.sleep(PARTING_SECONDS)
        while await database.write(room_jobs.purge_events, room_id, AT_ONCE):
            pass
        await database.write(room_jobs.purge_room, room_id)
        return job

    async def _send_out(self, user: UserID, room_id: RoomID) -> bool:
        try:
            await self.leaves.leave(user, room_id, {})
        except (Refused, Denied):
            # An invite that cannot be refused, for example: here nobody asks whether it may be.
            try:
                await self.timeline.send(room_id, Draft("m.room.member", user, {"membership": "leave"}, user, device=NO_DEVICE))
            except (Refused, Denied):
                return False
        return True

    async def _purge(self, job: Job) -> Job:
        major, minor = job.wanted["place"]
        keep = None if job.wanted.get("delete_local_events") else self.timeline.identity.name
        purged = int(job.result.get("purged", 0))
        while found := await self.timeline.database.write(room_jobs.purge_before, job.room_id, (major, minor), keep, AT_ONCE):
            purged += found
        return replace(job, result={"purged": purged})

    async def _redact(self, job: Job) -> Job:
        """Redact what a user has said: in the user's own name, or for users elsewhere in that of the administrator."""
        user, database = UserID(job.room_id), self.timeline.database
        by = user if self.timeline.identity.is_mine(user) and not job.wanted.get("use_admin") else UserID(job.wanted["by"])
        failed: dict[str, str] = {}
        left = int(job.wanted["limit"])
        for room_id in job.wanted["rooms"] or await database.read(members.joined_rooms, user):
            for event_id in await database.read(room_jobs.said_by, room_id, user, left):
                left -= 1
                content = {"reason": job.wanted["reason"]} if job.wanted.get("reason") else {}
                try:
                    await self.timeline.redact(room_id, Draft("m.room.redaction", by, content, redacts=EventID(event_id)))
                except (Refused, Denied) as error:
                    failed[event_id] = str(error)
        return replace(job, result={"failed_redactions": failed})

    async def purge(self, room_id: RoomID, event_id: str | None, ts: int | None, local_too: bool) -> Job:
        """Order that messages before an event, or a time, be deleted."""
        place = await self.timeline.database.read(room_jobs.place_of, room_id, event_id, ts)
        if place is None:
            raise NotFound("There is no such event in this room")
        return await self.order(PURGE, room_id, {"place": place, "delete_local_events": local_too})


def _order(txn: Transaction, job: Job) -> None:
    if any(other.status not in (COMPLETE, FAILED) for other in room_jobs.of_room(txn, job.room_id, job.kind)):
        raise Refused(400, "M_UNKNOWN", f"There is work of this kind ({job.kind}) on this room already")
    if job.kind == DELETE and job.wanted.get("block"):
        room_jobs.block(txn, job.room_id, job.wanted["by"], job.ts)
    room_jobs.add(txn, job)
    txn.wake(WORK)
