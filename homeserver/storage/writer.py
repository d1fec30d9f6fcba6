"""Acts in groups: each in a savepoint, all in one commit.  Knows no table, no thread and no engine.

The first act of a group may wait for a lock that another process holds, and with other processes about, acts go by their rooms: those who
take locks in one order may wait, too.  Any other ends the group, which is committed, and becomes the first of the next.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.events.identifiers import RoomID
from homeserver.storage.buffer import Buffer
from homeserver.storage.links import Broken, Collision, DatabaseError, Duplicate, Link, Lost, Row, Unavailable
from homeserver.storage.memory import Draft, Memory
from homeserver.storage.positions import LARGEST, SHIFT, Horizon, Token
from homeserver.storage.streams import Stream
from homeserver.storage.transactions import Needs, Retry, Transaction

log = logging.getLogger(__name__)
GROUP = 50
TRIES = 30
ALONE = 2  # tries after which an act has no company
LOSSES = 8  # of the connection, during one act


@dataclass(eq=False, slots=True)
class Act:
    """A function waiting for its transaction, and whoever waits for its result."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    deferred: Deferred[Any]
    context: Context = field(default_factory=copy_context)
    loaded: dict[Hashable, Any] | None = None
    tries: int = 0

    def run(self, txn: Transaction) -> Any:
        """Carry out the function, in the context of whoever asked for it."""
        return self.context.run(self.call, txn, *self.args, **self.kwargs)


@dataclass(slots=True)
class Answer:
    """What became of an act: its value, or the error."""

    act: Act
    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Batch:
    """What a turn of the writer brought about; `again` are acts to be run first in the next turn."""

    answers: list[Answer] = field(default_factory=list)
    calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    again: Sequence[Act] = ()
    token: Token = field(default_factory=Token)
    seen: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Counts:
    """What the writer has done so far."""

    acts: int = 0
    groups: int = 0
    undone: int = 0
    again: int = 0
    reruns: int = 0


class Group:
    """The effects of the acts that share one commit."""

    def __init__(self, link: Link, stream: Stream, memory: Memory) -> None:
        self.link, self.stream = link, stream
        self.draft, self.buffer, self.batch = Draft(memory), Buffer(), Batch()
        self.insert = self.buffer.add
        self.position, self.number = stream.next_position, stream.next_number
        self.broken = False
        self._mark = (0, 0, 0, 0)

    def flush(self, words: frozenset[str]) -> None:
        """Hand over buffered rows of the tables named."""
        try:
            self.buffer.flush(words, self.link)
        except DatabaseError:
            self.broken = self.buffer.foreign
            raise

    def on_commit(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Remember a call for after the commit."""
        self.batch.calls.append((call, args))

    def saw(self, position: int) -> None:
        """Remember what the group comes after.  That it is committed is certain, even if the act is undone."""
        writer, count = position >> SHIFT, position & LARGEST
        if writer != self.stream.writer and count > self.batch.seen.get(writer, 0):
            self.batch.seen[writer] = count

    def wake(self, keys: tuple[str, ...]) -> None:
        """Remember keys to fire after the commit."""
        self.batch.keys.extend(keys)

    def mark(self) -> None:
        """An act begins."""
        self.buffer.mark()
        self._mark = (len(self.batch.calls), len(self.batch.keys), self.draft.mark(), self.stream.count)

    def undo(self) -> None:
        """The act never was."""
        self.link.undo()
        self.buffer.undo()
        calls, keys, draft, self.stream.count = self._mark
        del self.batch.calls[calls:], self.batch.keys[keys:]
        self.draft.undo(draft)

    def commit(self) -> Batch:
        """Send what is buffered, and commit."""
        self.buffer.flush_all(self.link)
        self.stream.seal(self.link)
        self.link.commit()
        self.stream.sealed()
        return self.committed()

    def committed(self) -> Batch:
        """The commit was carried out."""
        self.draft.publish()
        return self.batch


class Writer:
    """Runs acts on the one connection of this process that writes."""

    def __init__(self, link: Link, stream: Stream, memory: Memory, horizon: Horizon) -> None:
        self._link, self._stream, self._memory, self._horizon = link, stream, memory, horizon
        self.counts = Counts()

    def turn(self, acts: Sequence[Act]) -> Batch:
        """Run the first of `acts`, as many as can go together."""
        # What had trouble twice goes alone: it may be the cause.
        size = 1 if acts[0].tries >= ALONE else GROUP
        group = acts[:size]
        if self._horizon.company and size > 1:
            first = min(1, group[0].tries)  # what was put back is the first
            group = [*group[:first], *sorted(group[first:], key=_room)]
        batch = self._safely(group)
        batch.again = [*batch.again, *acts[size:]]
        batch.token = self.token().merge(Token.of(batch.seen)) if batch.seen else self.token()
        return batch

    @property
    def writer(self) -> int:
        """The number of this process among the writers."""
        return self._stream.writer

    def token(self) -> Token:
        """What is committed, as far as this process knows."""
        return self._horizon.token.advanced(self._stream.writer, self._stream.committed)

    def idle(self) -> None:
        """Called now and then while there is nothing to do."""
        self._quietly(self._stream.idle)

    def close(self) -> None:
        """There will be no more acts."""
        self._quietly(self._stream.close)

    def _quietly(self, care: Callable[[Link], None]) -> None:
        try:
            care(self._link)
        except DatabaseError:
            self._link.rollback()
            log.warning("The database did not answer while there was nothing to do; the next act tries again")

    def _safely(self, acts: Sequence[Act]) -> Batch:
        """Run a group; if it fails as a whole, run its acts one by one."""
        try:
            return self._group(acts)
        except Lost as error:
            return self._after_loss(acts, error)
        except DatabaseError as error:
            self._give_up()
            if len(acts) == 1:
                return self._failed(acts[0], error)
        except BaseException as error:  # a fault of ours; a thread that ends would leave everybody waiting
            log.exception("A group of acts failed in a way that has no name")
            self._give_up()
            return Batch(answers=[Answer(act, None, error) for act in acts])
        self.counts.reruns += 1
        return self._one_by_one(acts)

    def _one_by_one(self, acts: Sequence[Act]) -> Batch:
        whole = Batch()
        for index, act in enumerate(acts):
            batch = self._safely([act])
            whole.answers += batch.answers
            whole.calls += batch.calls
            whole.keys += batch.keys
            whole.seen |= batch.seen
            if batch.again:
                whole.again = [*batch.again, *acts[index + 1 :]]
                break
        return whole

    def _group(self, acts: Sequence[Act]) -> Batch:
        group = Group(self._link, self._stream, self._memory)
        self._link.begin()
        for index, act in enumerate(acts):
            group.mark()
            if len(acts) > 1:
                self._link.mark(patient=index == 0)
            if not self._attempt(group, act):
                group.batch.again = acts[index:]
            elif group.broken:
                raise Broken("rows of another act were refused")
            if len(acts) == 1 and (group.batch.again or group.batch.answers[0].error is not None):
                self._give_up()
                return group.batch
            if group.batch.again:
                break
        self.counts.groups += 1
        return self._commit(group)

    def _commit(self, group: Group) -> Batch:
        try:
            return group.commit()
        except Lost as error:
            try:
                if self._come_back():
                    return group.committed()
            except DatabaseError:
                # Not to be run again: it may be there.
                return _unavailable([answer.act for answer in group.batch.answers], error, group.batch.again)
            raise

    def _attempt(self, group: Group, act: Act) -> bool:
        """Run an act; False if it has to run again."""
        txn = Transaction(self._link, group.draft, self.token, group, act.loaded, group.buffer.waiting)
        try:
            value = act.run(txn)
            self._link.release()
        except (Collision, Retry) as error:
            return self._collided(group, act, error)
        except (Broken, Lost):
            raise
        except Exception as error:
            if isinstance(error, DatabaseError) and group.buffer.foreign:
                raise Broken("rows of another act may have been refused") from None
            self.counts.undone += 1
            group.undo()
            group.batch.answers.append(Answer(act, None, error))
            return True
        self.counts.acts += 1
        group.batch.answers.append(Answer(act, value))
        return True

    def _collided(self, group: Group, act: Act, error: Exception) -> bool:
        group.undo()
        self.counts.again += 1
        act.tries += 1
        if act.tries < TRIES:
            return False
        group.batch.answers.append(Answer(act, None, Unavailable(f"gave up after {TRIES} tries: {error}")))
        return True

    def _failed(self, act: Act, error: DatabaseError) -> Batch:
        """A lone act whose commit failed."""
        if isinstance(error, Collision) and act.tries < TRIES:
            act.tries += 1
            return Batch(again=[act])
        if isinstance(error, Duplicate) and act.tries < ALONE:
            # The row may be another process's, written for the same request meanwhile: the second time the act sees it.
            act.tries = ALONE
            return Batch(again=[act])
        return Batch(answers=[Answer(act, None, error)])

    def _after_loss(self, acts: Sequence[Act], error: Lost) -> Batch:
        """The connection is gone: come back, and run what was not committed again."""
        for act in acts:
            act.tries += 1
        self._give_up()
        try:
            self._come_back()
        except DatabaseError:
            return _unavailable(acts, error)
        return _unavailable([act for act in acts if act.tries > LOSSES], error, [act for act in acts if act.tries <= LOSSES])

    def _come_back(self) -> bool:
        """Connect again; whether the commit that was under way had been carried out (the row of this writer tells)."""
        for _ in range(LOSSES):
            self._link.reopen()
            try:
                return self._stream.recover(self._link)
            except (Lost, Collision):
                log.warning("The connection to the database was lost again")
        raise Unavailable("the connection to the database is lost again and again")

    def _give_up(self) -> None:
        self._link.rollback()
        self._stream.reset()


def _room(act: Act) -> str:
    """The room that an act is about, as far as its arguments tell."""
    for one in act.args:
        room = one if isinstance(one, RoomID) else getattr(one, "room_id", None)
        if isinstance(room, RoomID):
            return room
    return ""


def _unavailable(acts: Sequence[Act], error: DatabaseError, again: Sequence[Act] = ()) -> Batch:
    return Batch(answers=[Answer(act, None, Unavailable(str(error))) for act in acts], again=again)


__all__ = ["Act", "Answer", "Batch", "Counts", "Needs", "Row", "Writer"]
