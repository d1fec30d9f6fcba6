"""Sync: what clients hear of everything else."""

from dataclasses import dataclass

from homeserver.accounts.devices import Watcher
from homeserver.api.client.sliding_sync import SlidingSync
from homeserver.api.client.sync import Sync as SyncPages
from homeserver.composition.attention import Attention
from homeserver.composition.ground import Ground
from homeserver.sync.acknowledging import Acknowledged
from homeserver.sync.beside import Sources
from homeserver.sync.caught_up import CaughtUp
from homeserver.sync.poll import Poll
from homeserver.sync.shared import Shared
from homeserver.sync.sliding.opening import Opening
from homeserver.sync.sliding.poll import SlidingPoll, devices_changed

WATCHERS: tuple[Watcher, ...] = (devices_changed,)


@dataclass(frozen=True)
class Sync:
    """What others need of it."""

    poll: Poll
    endpoints: tuple[object, ...]


def compose(ground: Ground, attention: Attention) -> Sync:
    """Make it."""
    sources = Sources(ground.database, attention.typing, attention.presence, Acknowledged(ground.database, ground.clock), ground.live)
    poll = Poll(ground.database, ground.clock, sources, CaughtUp(ground.database, Shared(), sources))
    sliding = SlidingSync(ground.clock, SlidingPoll(ground.database, ground.clock, sources, Opening(ground.database, ground.clock)))
    return Sync(poll, (SyncPages(ground.database, ground.clock, poll), sliding))
