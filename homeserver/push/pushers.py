"""The pushers of users: set, shown, gone with the session that set them.  Calls nobody.

spec: client-server-api#post_matrixclientv3pushersset, MSC3881 for `enabled` and `device_id`
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from homeserver.clock import Clock
from homeserver.errors import InvalidParam, MissingParam, Refused
from homeserver.storage import accounts, push_rules, pushers
from homeserver.storage.database import Database
from homeserver.storage.pushers import Pusher
from homeserver.storage.transactions import Transaction

PATH = "/_matrix/push/v1/notify"
MAX_PUSHERS = 100
MAX_PUSHKEY, MAX_APP_ID, MAX_TEXT, MAX_DATA = 512, 64, 1000, 8192
NEEDED = ("app_display_name", "device_display_name", "lang", "data")


@dataclass(frozen=True)
class Allowed:
    """What a pusher may be on this server: whether there is mail, and whether a gateway may be reached without TLS."""

    email: bool = False
    plain_http: bool = False


@dataclass(frozen=True)
class Pushers:
    """The pushers of all users."""

    database: Database
    clock: Clock
    allowed: Allowed

    async def of_user(self, user_id: str) -> list[dict[str, Any]]:
        """A user's pushers as clients see them."""
        return [shown(pusher) for pusher in await self.database.read(pushers.of_user, user_id)]

    async def put(self, pusher: Pusher, append: bool) -> None:
        """Add or replace a pusher; unless `append`, those of other users with the same key go.  Raises `Refused`."""
        check(pusher, self.allowed)
        await self.database.write(self._put, replace(pusher, ts=self.clock.now()), append)

    async def remove(self, user_id: str, app_id: str, pushkey: str) -> None:
        """Remove one; nothing happens if there is none."""
        await self.database.write(pushers.remove, user_id, app_id, pushkey)

    def _put(self, txn: Transaction, pusher: Pusher, append: bool) -> None:
        own = pushers.of_user(txn, pusher.user_id)
        if len(own) >= MAX_PUSHERS and not any((one.app_id, one.pushkey) == (pusher.app_id, pusher.pushkey) for one in own):
            raise Refused(400, "M_TOO_LARGE", f"An account has at most {MAX_PUSHERS} pushers")
        if pusher.kind == "email":
            addresses = {one.address for one in accounts.threepids(txn, pusher.user_id) if one.medium == "email"}
            if pusher.pushkey not in addresses:
                raise Refused(400, "M_THREEPID_NOT_FOUND", "This e-mail address does not belong to your account")
        if not append:
            pushers.remove_of_others(txn, pusher.user_id, pusher.app_id, pusher.pushkey)
        pushers.put(txn, pusher)


def of_request(user_id: str, device_id: str | None, body: Mapping[str, Any]) -> Pusher:
    """The pusher that a client describes; raises `MissingParam`, `InvalidParam`."""
    missing = [name for name in NEEDED if name not in body]
    if missing:
        raise MissingParam(f"Missing parameters: {', '.join(missing)}")
    for name in ("kind", *NEEDED[:3]):
        if not isinstance(body[name], str) or len(body[name]) > MAX_TEXT:
            raise InvalidParam(f"{name} must be a string of at most {MAX_TEXT} characters")
    tag, data = body.get("profile_tag"), body["data"]
    enabled = body.get("org.matrix.msc3881.enabled", body.get("enabled", True))
    if not isinstance(data, dict) or len(orjson.dumps(data)) > MAX_DATA:
        raise InvalidParam(f"data must be an object of at most {MAX_DATA} bytes")
    if not isinstance(tag, str | None) or not isinstance(enabled, bool):
        raise InvalidParam("profile_tag must be a string, and enabled a boolean")
    app_id, pushkey = key_of_request(body)
    return Pusher(
        user_id, app_id, pushkey, body["kind"], body["app_display_name"], body["device_display_name"], body["lang"], data, tag, device_id,
        enabled,
    )  # fmt: skip


def key_of_request(body: Mapping[str, Any]) -> tuple[str, str]:
    """(app_id, pushkey) of a request; raises `MissingParam`, `InvalidParam`."""
    for name, limit in (("app_id", MAX_APP_ID), ("pushkey", MAX_PUSHKEY)):
        if name not in body:
            raise MissingParam(f"Missing parameters: {name}")
        if not isinstance(body[name], str) or not 0 < len(body[name].encode(errors="replace")) <= limit:
            raise InvalidParam(f"{name} must be a string of at most {limit} bytes")
    return body["app_id"], body["pushkey"]


def check(pusher: Pusher, allowed: Allowed) -> None:
    """Raise `Refused` for a pusher that this server could not serve."""
    if pusher.kind == "http":
        _check_url(pusher.data.get("url"), allowed)
    elif pusher.kind == "email" and not allowed.email:
        raise InvalidParam("This server does not send e-mail")
    elif pusher.kind != "email" or pusher.app_id != "m.email":
        raise InvalidParam("kind must be http, or email with the app_id m.email")


def _check_url(url: object, allowed: Allowed) -> None:
    if not isinstance(url, str):
        raise MissingParam("data must contain url for a pusher of the kind http")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InvalidParam("The url of the push gateway is not valid") from None
    schemes = ("https", "http") if allowed.plain_http else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.path != PATH or parts.username is not None or len(url) > 2048:
        raise InvalidParam(f"The url of the push gateway must begin with https and have the path {PATH}")


def shown(pusher: Pusher) -> dict[str, Any]:
    """A pusher as its user sees it."""
    return {
        "pushkey": pusher.pushkey,
        "kind": pusher.kind,
        "app_id": pusher.app_id,
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "lang": pusher.lang,
        "data": pusher.data,
        "org.matrix.msc3881.enabled": pusher.enabled,
        "org.matrix.msc3881.device_id": pusher.device_id,
        **({"profile_tag": pusher.profile_tag} if pusher.profile_tag is not None else {}),
    }


def devices_changed(txn: Transaction, user_id: str, device_ids: Sequence[str], change: str) -> None:
    """Devices came or went: pushers that were set from those that are `removed` go with them."""
    if change == "removed":
        pushers.remove_of_devices(txn, user_id, device_ids)


def account_closed(txn: Transaction, user_id: str, erase: bool) -> None:
    """An account has ended: nobody is to be told anything any more."""
    pushers.clear(txn, user_id)
    push_rules.clear(txn, user_id)
