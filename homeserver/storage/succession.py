"""What processes commit is made known here in its order: nothing before what it came after, if that process says so itself, and soon.

Knows positions only.  Used on the reactor's thread.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.storage.positions import Horizon, Token

PATIENCE = 0.1  # seconds, for what another process is about to say


@dataclass(eq=False, slots=True)
class _Known:
    """A group that `writer` has committed; `token` is what it came after, too."""

    token: Token
    writer: int
    tell: Callable[[], None]
    until: int


@dataclass
class Succession:
    """The groups that wait to be made known."""

    clock: Clock
    horizon: Horizon
    told: dict[int, int] = field(default_factory=dict)
    """How far other writers have come, as they said themselves."""
    held: int = 0
    _waiting: list[_Known] = field(default_factory=list)
    _expecting: list[tuple[Token, Deferred[None]]] = field(default_factory=list)
    _going: bool = False

    def admit(self, token: Token, writer: int, tell: Callable[[], None]) -> None:
        """Call `tell`, which makes a group known, when its turn has come."""
        self._waiting.append(_Known(token, writer, tell, self.clock.now() + int(1000 * PATIENCE)))
        self.go_on()
        if self._waiting:
            self.held += 1
            self.clock.later(PATIENCE, self.go_on)

    @property
    def waits(self) -> bool:
        """Whether any group waits."""
        return bool(self._waiting)

    def go_on(self) -> None:
        """More is known, or time has passed: see whose turn it is."""
        if self._going:
            return
        self._going = True
        try:
            while (known := self._next()) is not None:
                self._waiting.remove(known)
                known.tell()
        finally:
            self._going = False
        self._satisfy()

    async def heard(self, token: Token) -> None:
        """Return when the processes that say what they commit have said all that a token covers, at the latest after a moment."""
        if self._ahead(token, -1) and all(writer in self.told for writer in self._ahead(token, -1)):
            one: Deferred[None] = Deferred()
            self._expecting.append((token, one))
            with suppress(TimeoutError):
                await self.clock.timeout(one, PATIENCE)
            self._expecting = [each for each in self._expecting if each[1] is not one]

    def _satisfy(self) -> None:
        for token, one in tuple(self._expecting):
            if not one.called and self.horizon.token.reaches(token):
                one.callback(None)

    def _next(self) -> _Known | None:
        blocked: set[int] = set()
        for known in self._waiting:
            if known.writer not in blocked and (self._follows(known) or known.until <= self.clock.now()):
                return known
            blocked.add(known.writer)
        return None

    def _follows(self, known: _Known) -> bool:
        return not any(writer in self.told for writer in self._ahead(known.token, known.writer))

    def _ahead(self, token: Token, but: int) -> list[int]:
        """The writers, but for one, of which a token covers more than is known."""
        seen = self.horizon.token
        return [writer for writer, count in token.counts if writer != but and count > seen.count(writer)]
