"""Threads: one that writes, a few that read.  Knows no table; what they run, `writer` and `transactions` say."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from homeserver.storage.links import Link, Lost
from homeserver.storage.memory import Memory
from homeserver.storage.positions import Horizon, Token
from homeserver.storage.transactions import Transaction
from homeserver.storage.writer import GROUP, Act, Answer, Batch, Writer

AT_ONCE = 4  # answers in a turn of the loop: one may be a large piece, of which the socket takes its time
PAUSE = 0.05  # seconds for which a reader that has nothing to do may keep a state of the database


def committed(link: Link) -> Token:
    """How far each writer has come in the state of the database that the link shows."""
    return Token.of(dict(link.all("SELECT writer, count FROM writers", {})))


@dataclass(frozen=True)
class View:
    """How a read is carried out on a link."""

    memory: Memory
    horizon: Horizon

    def read(self, link: Link, act: Act) -> Answer:
        """Run a function on one state of the database."""
        # The token first, the snapshot after it: the snapshot then has everything the token covers.
        token = self.horizon.token
        try:
            link.view()
            # With others about, what they committed is in the snapshot as well: whoever asks how far it goes is told exactly.
            exact = partial(committed, link) if self.horizon.company else lambda: token
            return Answer(act, act.run(Transaction(link, self.memory, exact, None, act.loaded)))
        except BaseException as error:  # a thread that ends would leave everybody waiting
            return Answer(act, None, error)
        finally:
            link.rollback()

    def safely(self, link: Link, act: Act) -> Answer:
        """The same, once more if the connection was lost."""
        answer = self.read(link, act)
        if isinstance(answer.error, Lost):
            try:
                link.reopen()
            except Lost:
                return answer
            answer = self.read(link, act)
        return answer


Answered = Callable[[Answer], None]
Mailbox = SimpleQueue[Act | None]


class WriterThread:
    """Feeds the writer with groups of what is waiting.  The first act never waits for company."""

    def __init__(self, writer: Writer, deliver: Callable[[Batch], None], idle: float | None) -> None:
        self._writer, self._deliver, self._idle = writer, deliver, idle
        self._queue: SimpleQueue[Act | None] = SimpleQueue()
        self.turns = 0
        self._thread = Thread(target=self._run, name="storage-writer", daemon=True)
        self._thread.start()

    def submit(self, act: Act) -> None:
        """Have an act run."""
        self._queue.put(act)

    def stop(self) -> None:
        """Finish what is waiting, and end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[Act] = []
        open = True
        while open or waiting:
            open = self._gather(waiting) and open
            if waiting:
                self.turns += 1
                batch = self._writer.turn(waiting)
                waiting = list(batch.again)
                self._deliver(batch)
        self._writer.close()

    def _gather(self, waiting: list[Act]) -> bool:
        """Wait for an act if there is none, take what else is there; False at the end."""
        try:
            while len(waiting) < GROUP:
                act = self._queue.get(timeout=self._idle) if not waiting else self._queue.get_nowait()
                if act is None:
                    return False
                if not act.deferred.called:  # else given up by whoever asked
                    waiting.append(act)
        except Empty:
            if not waiting:
                self._writer.idle()
        return True


class Readers:
    """Threads that read, each with a connection of its own.

    Each has a mailbox: of several that wait at one queue, the first to wake wakes the next for nothing.  A read goes to whoever was
    busy last, whose pages are still at hand.
    """

    def __init__(self, links: Sequence[Link], view: View, later: Callable[[Callable[[], None]], object], answer: Answered) -> None:
        self._view, self._later, self._answer = view, later, answer
        self._lock = Lock()  # for the next three
        self._idle: list[Mailbox] = []
        self._waiting: deque[Act] = deque()
        self._stopping = False
        self._answers: deque[Answer] = deque()
        self._scheduled = False
        self._threads = [Thread(target=self._run, args=(link, SimpleQueue()), name="storage-reader", daemon=True) for link in links]
        for thread in self._threads:
            thread.start()

    def submit(self, act: Act) -> None:
        """Have a read carried out."""
        with self._lock:
            if not self._idle:
                self._waiting.append(act)
                return
            mailbox = self._idle.pop()
        mailbox.put(act)

    def stop(self) -> None:
        """Finish what is waiting, and end."""
        with self._lock:
            self._stopping = True
            idle, self._idle = self._idle, []
        for mailbox in idle:
            mailbox.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, link: Link, mailbox: Mailbox) -> None:
        while (act := self._next(link, mailbox)) is not None:
            if not act.deferred.called:
                self._answers.append(self._view.safely(link, act))
                if not self._scheduled:
                    self._scheduled = True
                    self._later(self._drain)

    def _next(self, link: Link, mailbox: Mailbox) -> Act | None:
        """Take a read, or wait for one; what the last one left open ends with it, or after a moment."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._stopping:
                return None
            self._idle.append(mailbox)
        if link.unsettled:
            try:
                return mailbox.get(timeout=PAUSE)
            except Empty:
                link.settle()
        return mailbox.get()

    def _drain(self) -> None:
        """Give answers.  What comes meanwhile, perhaps because of one of these, waits for the loop's next turn."""
        self._scheduled = False
        for _ in range(min(AT_ONCE, len(self._answers))):
            self._answer(self._answers.popleft())
        if self._answers and not self._scheduled:
            self._scheduled = True
            self._later(self._drain)
