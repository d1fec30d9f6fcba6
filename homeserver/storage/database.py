"""The database of a process: reads, acts, what is committed, who waits.  Knows no table and no HTTP."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.python.failure import Failure

from homeserver.storage.aside import Aside
from homeserver.storage.feed import Feed
from homeserver.storage.links import DatabaseError, Duplicate, Link, Unavailable, Unstorable
from homeserver.storage.memory import Memory
from homeserver.storage.positions import Horizon, Token
from homeserver.storage.readers import View
from homeserver.storage.succession import PATIENCE, Succession
from homeserver.storage.transactions import Needs, Retry, Transaction
from homeserver.storage.wakeups import EVERYTHING, Wakeups
from homeserver.storage.writer import Act, Answer, Batch, Writer

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)
ROUNDS = 50
TOGETHER = 0.01  # seconds for which those who wait hear of another process's group later than they could


class Hints(Protocol):
    """Carries hints to other processes."""

    def tell(self, token: Token, keys: list[str]) -> None:
        """This process has committed something."""

    def know(self, token: Token) -> None:
        """Another process said itself that it has committed this: no hint will tell."""

    def stop(self) -> None:
        """End."""


class Care(Protocol):
    """Something that runs beside."""

    def stop(self) -> None:
        """End."""


class Runs(Protocol):
    """Something that carries out acts."""

    def submit(self, act: Act) -> None:
        """Have an act run."""

    def stop(self) -> None:
        """Finish what is waiting, and end."""


class Writes(Runs, Protocol):
    """The same, for acts that write."""

    turns: int
    """How many groups it has begun beside the caller."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the database has done since the process started."""

    statements: int
    trips: int
    reads: int
    acts: int
    groups: int
    undone: int
    again: int
    reruns: int
    held: int
    """Groups that were made known after others that were still to be heard of."""
    unknown: int
    """Positions of which nobody had said whom they concern."""


class Database:
    """Reads and acts.  Use it on the reactor's thread only; what it returns can be awaited."""

    def __init__(self, links: list[Link], writer: Writer, horizon: Horizon, memory: Memory, wakeups: Wakeups) -> None:
        self.memory, self.wakeups = memory, wakeups
        self.feed = Feed(memory)
        self._links, self._writer, self._horizon = links, writer, horizon
        self._succession = Succession(wakeups.clock, horizon)
        self.learn(writer.token())
        self._reads = self._delivered = 0
        self._tell: Callable[[Batch], bool] | None = None
        self._closed = False
        self._writing: Writes
        self._reading: Runs
        self._hints: Hints | None = None
        self._care: Care | None = None
        self._aside: Aside | None = None

    def start(self, writing: Writes, reading: Runs) -> Self:
        """Say what carries out acts and reads."""
        self._writing, self._reading = writing, reading
        return self

    def with_hints(self, hints: Hints) -> Self:
        """Say who carries hints to and from other processes."""
        self._hints = hints
        return self

    def with_aside(self, aside: Aside) -> Self:
        """Say what reads in processes of their own; without, readers do it."""
        self._aside = aside
        return self

    def with_care(self, care: Care) -> Self:
        """Say what else runs for this database, and is to end with it."""
        self._care = care
        return self

    @property
    def engine(self) -> str:
        """`sqlite` or `postgres`."""
        return self._links[0].engine

    def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """The result of `fn(txn, ...)` on one consistent state of the database, which has everything `now` covers."""
        deferred: Deferred[T] = Deferred()
        if self._closed:
            return fail(Unavailable("the database is closed"))
        self._reads += 1
        self._reading.submit(Act(fn, args, kwargs, deferred))
        return deferred

    def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """The result of the act `fn(txn, ...)`, once it is durable.

        `fn` may be run more than once.  If it raises, nothing of it remains.
        """
        if self._closed:
            return fail(Unavailable("the database is closed"))
        deferred: Deferred[T] = Deferred()
        self._writing.submit(Act(fn, args, kwargs, deferred))
        return deferred

    def now(self) -> Token:
        """What is committed: a read that starts now sees all of it."""
        return self._horizon.token

    def learn(self, token: Token) -> None:
        """Another process is known to have committed this."""
        self._horizon.learn(token)
        self.feed.advance(self._horizon.token)
        self._succession.go_on()

    @property
    def counts(self) -> Counted:
        """What has been done so far."""
        done = self._writer.counts
        statements = sum(link.statements for link in self._links)
        trips = sum(link.trips for link in self._links)
        held, unknown = self._succession.held, self.feed.unknown
        return Counted(statements, trips, self._reads, done.acts, done.groups, done.undone, done.again, done.reruns, held, unknown)

    async def catch_up(self) -> None:
        """Have `now` cover all that any process had committed when this was called: for who answers from memory."""
        if self._horizon.company:
            token = await self.read(committed)
            await self._succession.heard(token)
            self.learn(token)

    async def reach(self, token: Token, timeout: float) -> bool:
        """Wait until `now` covers a token that a client brought; False if it does not within `timeout` seconds."""
        until = self.wakeups.clock.now() + timeout * 1000
        await self._succession.heard(token)
        while not self.now().reaches(token):
            self.learn(await self.read(committed))
            if self.now().reaches(token):
                break
            if self.wakeups.clock.now() >= until:
                return False
            await self.wakeups.clock.sleep(0.1)
        return True

    def close(self) -> None:
        """Finish what is under way, and let go of the database."""
        if self._closed:
            return
        self._closed = True
        for care in (self._hints, self._care, self._aside):
            if care is not None:
                care.stop()
        self._writing.stop()
        self._reading.stop()
        for link in self._links:
            link.close()

    def delivered(self, batch: Batch) -> None:
        """A group is committed: make it known when what it came after is, then answer."""
        self._delivered += 1
        told = self._tell is not None and bool(batch.answers) and self._horizon.company and self._tell(batch)
        if batch.seen or self._succession.waits:
            self._succession.admit(batch.token, self.writer, partial(self._make_known, batch, told))
        else:
            self._make_known(batch, told)

    def _make_known(self, batch: Batch, told: bool) -> None:
        self.learn(batch.token)
        waits = [wait for call, args in batch.calls if (wait := _called(call, args)) is not None]
        if waits:
            DeferredList(waits, consumeErrors=True).addCallback(lambda _: self._answer_all(batch))
        else:
            self._answer_all(batch)
        self.wakeups.fire(batch.keys)
        if self._hints is not None and batch.answers and not told:
            self._hints.tell(batch.token, batch.keys)

    def _answer_all(self, batch: Batch) -> None:
        for answer in batch.answers:
            self._answer(answer, self._writing)

    def heard(self, token: Token, keys: list[str]) -> None:
        """Another process has committed something."""
        ahead = [writer for writer, count in token.counts if count > self.now().count(writer)]
        if ahead and EVERYTHING not in keys and all(writer in self._succession.told for writer in ahead):
            # It will say so itself, and more: who is told by the hint alone has to read.
            self.wakeups.clock.later(PATIENCE, self._heard_of, token, keys)
        else:
            self._heard_of(token, keys)

    def _heard_of(self, token: Token, keys: list[str]) -> None:
        self.learn(token)
        if keys and (EVERYTHING in keys or not self._was_told(token)):
            self.wakeups.fire(keys)
        else:  # what has no positions, such as work to do, may not have been told
            self.wakeups.fire([key for key in keys if key[0] not in "!@"])

    def heard_first(self, token: Token, writer: int, keys: list[str]) -> None:
        """The same, told by that process itself; if its hint comes as well, that wakes nobody again."""
        told = self._succession.told
        told[writer] = max(token.count(writer), told.get(writer, 0))
        if self._hints is not None:
            self._hints.know(token)
        self._succession.admit(token, writer, partial(self._make_heard, token, keys))

    def _make_heard(self, token: Token, keys: list[str]) -> None:
        self.learn(token)
        if self._writing.turns > self._delivered:  # who waits is answered once for both, not twice in a row
            self.wakeups.put_off(keys, TOGETHER)
        else:
            self.wakeups.fire(keys)

    def _was_told(self, token: Token) -> bool:
        return all(writer == self.writer or count <= self._succession.told.get(writer, 0) for writer, count in token.counts)

    @property
    def company(self) -> bool:
        """Whether other processes of this server write to the database."""
        return self._horizon.company

    @property
    def writer(self) -> int:
        """The number of this process among the writers."""
        return self._writer.writer

    def tell_others(self, tell: Callable[[Batch], bool]) -> None:
        """Have each group told that this process commits while there are others; where all hear of it so, there is no hint."""
        self._tell = tell

    def answered(self, answer: Answer) -> None:
        """A read is done."""
        self._answer(answer, self._reading)

    def _answer(self, answer: Answer, runs: Runs) -> None:
        act, error = answer.act, answer.error
        if isinstance(error, Needs):
            self._fetch(act, error, runs)
        elif error is not None:
            act.deferred.errback(_failure(error))
        else:
            act.deferred.callback(answer.value)

    def _fetch(self, act: Act, needs: Needs, runs: Runs) -> None:
        """Get what an act lacks, then have it run again."""

        def loaded(value: Any) -> None:
            act.loaded = {**(act.loaded or {}), needs.key: value}
            runs.submit(act)

        if len(act.loaded or ()) >= ROUNDS:
            act.deferred.errback(_failure(Unavailable(f"An act needed more than {ROUNDS} things")))
            return
        if needs.aside and self._aside is not None:
            work = act.context.run(Deferred.fromCoroutine, self._aside.read(needs.load, *needs.args))
        elif needs.reads:
            work = act.context.run(self.read, needs.load, *needs.args)
        else:
            work = act.context.run(Deferred.fromCoroutine, needs.load(*needs.args))
        work.addCallback(loaded).addErrback(act.deferred.errback)


def _called(call: Callable[..., object], args: tuple[Any, ...]) -> Deferred[Any] | None:
    """Make a call after a commit; what the answers have to wait for."""
    try:
        result = call(*args)
    except Exception:
        log.exception("A call after a commit failed")
        return None
    return result if isinstance(result, Deferred) else None


def committed(txn: Transaction) -> Token:
    """Exactly what a transaction sees; `Transaction.token` is at most that."""
    return Token.of(dict(txn.all("SELECT writer, count FROM writers")))


def _failure(error: BaseException) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Inline:
    """Carries out acts and reads at once, on the caller's thread: for tests, and for databases in memory."""

    writer: Writer
    link: Link
    view: View
    database: Database
    turns = 0

    @classmethod
    def start(cls, writer: Writer, link: Link, view: View, database: Database) -> Database:
        """A database without threads."""
        return database.start(cls(writer, link, view, database), InlineReads(link, view, database))

    def submit(self, act: Act) -> None:
        """Run an act."""
        self.group([act])

    def group(self, acts: list[Act]) -> None:
        """Run acts as a group."""
        while acts:
            batch = self.writer.turn(acts)
            acts = list(batch.again)
            self.database.delivered(batch)

    def stop(self) -> None:
        """Nothing waits."""


@dataclass(frozen=True)
class InlineReads:
    """Carries out reads at once."""

    link: Link
    view: View
    database: Database

    def submit(self, act: Act) -> None:
        """Carry out a read."""
        self.database.answered(self.view.safely(self.link, act))

    def stop(self) -> None:
        """Nothing waits."""


__all__ = ["Database", "DatabaseError", "Duplicate", "Needs", "Retry", "Token", "Transaction", "Unavailable", "Unstorable"]
