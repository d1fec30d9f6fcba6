"""Keys: device keys, one-time keys, cross-signing, backups, messages from device to device."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.api.client.key_backup import KeyBackups
from homeserver.api.client.keys import CrossSigning, DehydratedDevices, DeviceKeys
from homeserver.api.client.to_device import ToDevice
from homeserver.api.server.keys_of_users import KeysOfUsers
from homeserver.composition.accounts import Accounts
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground
from homeserver.events.identifiers import ServerName
from homeserver.keys.announce import Announcer
from homeserver.keys.backups import Backups
from homeserver.keys.claims import Claims
from homeserver.keys.dehydration import Dehydration
from homeserver.keys.elsewhere import Elsewhere
from homeserver.keys.following import Following
from homeserver.keys.messages import Messages
from homeserver.keys.queries import Queries
from homeserver.keys.signatures import Signatures
from homeserver.keys.signing_keys import SigningKeys
from homeserver.keys.uploads import Uploads


@dataclass(frozen=True)
class Keys:
    """What others need of keys.  `edus`: what to do with EDUs of other servers, by type."""

    queries: Queries
    messages: Messages
    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]


def compose(ground: Ground, federation: Federation, accounts: Accounts, announcer: Announcer) -> Keys:
    """Make them.  `announcer` is also told of devices that come and go and of memberships: see `homeserver.server`."""
    database, identity, clock = ground.database, ground.identity, ground.clock
    elsewhere = Elsewhere(federation.peers, clock)
    uploads = Uploads(database, announcer)
    queries = Queries(database, identity, elsewhere, announcer.share_names)
    claims = Claims(database, identity, elsewhere)
    messages = Messages(database, identity, clock)
    following = Following(database)
    endpoints = (
        DeviceKeys(database, uploads, queries, claims),
        CrossSigning(SigningKeys(database, announcer), Signatures(database, queries, announcer), accounts.gate),
        DehydratedDevices(Dehydration(database, accounts.devices, uploads, clock)),
        KeyBackups(Backups(database)),
        ToDevice(messages),
        KeysOfUsers(queries, claims),
    )
    edus = {
        "m.device_list_update": following.device_list_update,
        "m.signing_key_update": following.signing_key_update,
        "m.direct_to_device": messages.receive,
    }
    return Keys(queries, messages, edus, endpoints)
