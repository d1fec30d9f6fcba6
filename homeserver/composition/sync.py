"""Sync: what clients hear of everything else."""

from dataclasses import dataclass

from homeserver.api.client.sync import Sync as SyncPages
from homeserver.composition.attention import Attention
from homeserver.composition.ground import Ground
from homeserver.sync.beside import Sources
from homeserver.sync.poll import Poll


@dataclass(frozen=True)
class Sync:
    """What others need of it."""

    poll: Poll
    endpoints: tuple[object, ...]


def compose(ground: Ground, attention: Attention) -> Sync:
    """Make it."""
    poll = Poll(ground.database, ground.clock, Sources(ground.database, attention.typing, attention.presence))
    return Sync(poll, (SyncPages(ground.database, ground.clock, poll),))
