"""How a vote stands: who are the electors, who of them agrees, is that enough.  Pure; the rule itself is in `events.swarm.votes`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from homeserver.events.event import Event, Key
from homeserver.events.rules import CREATE, POWER_LEVELS
from homeserver.events.standing import State, membership
from homeserver.events.swarm import devices
from homeserver.events.swarm.admins import admins
from homeserver.events.swarm.names import MAX_VOTES
from homeserver.events.swarm.votes import Motion, stands

# Named in a ban, though fewer would do: some of them may turn out to be banned elsewhere.
MOST_NAMED = 64

Look = Callable[[Iterable[Key]], dict[Key, Event]]
"""What the state has at these keys."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How a motion stands in one state.

    `votes`: those that stand, by who cast them, of electors only; `banned`: the admins that do not count; `done`: it is so already;
    `may_act`: the voters who can write down that it is so.
    """

    motion: Motion
    votes: dict[str, Event]
    electors: int
    banned: tuple[str, ...]
    done: bool
    may_act: frozenset[str]

    @property
    def needed(self) -> int:
        """How many votes it takes."""
        return self.electors // 2 + 1

    @property
    def passed(self) -> bool:
        """Whether there are enough."""
        return len(self.votes) >= self.needed

    @property
    def named(self) -> list[str]:
        """The voters that a ban names."""
        return sorted(self.votes)[: max(self.needed, MOST_NAMED)]

    @property
    def order(self) -> list[str]:
        """The voters in the order in which they are to act, if nobody has: the same on every server, and not of anybody's choice."""
        return sorted(self.may_act, key=lambda voter: self.votes[voter].event_id)


@dataclass(frozen=True, slots=True)
class Electorate:
    """The admins of one state, those of them who are banned, and what says so: for many motions it is looked up once."""

    admins: frozenset[str]
    banned: frozenset[str]
    state: State


def electorate(look: Look) -> Electorate:
    """Who may vote."""
    state = look([CREATE, POWER_LEVELS])
    chosen = frozenset(admins(state))
    state = {**state, **look([("m.room.member", admin) for admin in chosen])}
    return Electorate(chosen, frozenset(admin for admin in chosen if membership(state, admin) == "ban"), state)


def tally(look: Look, motion: Motion, known: Electorate | None = None, voters: Iterable[str] | None = None) -> Tally:
    """Count the votes on a motion; `voters` are all who may have voted on it, None that it could be any of the electorate."""
    known = electorate(look) if known is None else known
    electors = known.admins - known.banned
    own = {voter: motion.key(voter) for voter in (electors if voters is None else electors.intersection(voters))}
    about = devices.key_of(motion.target, motion.device) if motion.device else ("m.room.member", motion.target)
    state = {**known.state, **look([*own.values(), about])}
    opposite = motion.opposite
    state |= look([opposite.key(voter) for voter, key in own.items() if key in state])
    votes = {voter: state[key] for voter, key in own.items() if key in state and stands(state, motion, voter)}
    return Tally(
        motion,
        votes,
        len(electors),
        tuple(sorted(known.banned)[:MAX_VOTES]),
        _is_done(state, motion),
        frozenset(voter for voter in votes if membership(state, voter) == "join" and (motion.device or voter != motion.target)),
    )


def _is_done(state: State, motion: Motion) -> bool:
    if motion.device:
        banned = devices.is_banned(state, motion.target, motion.device)
    else:
        banned = membership(state, motion.target) == "ban"
    return banned == (motion.action == "ban")
