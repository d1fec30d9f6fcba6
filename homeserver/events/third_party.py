"""Invitations by e-mail address or phone number: whether the `signed` object in one is what an identity server gave.

Pure: the public keys stand in the room.  spec: rooms/v12#authorisation-rules, rule 5.4.1; server-server#verifying-the-invite
"""

from collections.abc import Iterator, Mapping
from typing import Any

from homeserver.events.errors import BadSignature, Denied, Malformed
from homeserver.events.event import Event, Key
from homeserver.events.signing import check_signature, decode_base64, plain_bytes

# 64 KiB hold some 600 signatures and as many keys: 360,000 verifications would take half a minute.
MAX_ATTEMPTS = 100


def check_third_party_invite(event: Event, state: Mapping[Key, Event]) -> None:
    """Return if the invite carries a good signature for its target, else raise `Denied`."""
    invite = event.content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, dict) else None
    if not isinstance(signed, dict):
        raise Denied("The third-party invite is not signed")
    token = signed.get("token")
    if not isinstance(token, str) or signed.get("mxid") != event.state_key:
        raise Denied("The third-party invite is for somebody else")
    offer = state.get(("m.room.third_party_invite", token))
    if offer is None:
        raise Denied("There is no such third-party invite in this room")
    if offer.sender != event.sender:
        raise Denied("The third-party invite is not by the one who made it")
    if not _is_signed(signed, offer):
        raise Denied("The signature of the third-party invite does not fit")


def _is_signed(signed: dict[str, Any], offer: Event) -> bool:
    message = plain_bytes(signed)
    keys = list(_public_keys(offer.content))
    attempts = [(signature, key) for signature in _signatures(signed) for key in keys]
    return any(_fits(message, signature, key) for signature, key in attempts[:MAX_ATTEMPTS])


def _fits(message: bytes, signature: str, key: bytes) -> bool:
    try:
        check_signature(message, signature, key)
    except BadSignature:
        return False
    return True


def _public_keys(content: Mapping[str, Any]) -> Iterator[bytes]:
    listed = content.get("public_keys")
    entries = [content, *(listed if isinstance(listed, list) else [])]
    for entry in entries[:MAX_ATTEMPTS]:
        try:
            yield decode_base64(entry.get("public_key") if isinstance(entry, dict) else None)
        except Malformed:
            continue


def _signatures(signed: Mapping[str, Any]) -> list[str]:
    servers = signed.get("signatures")
    entries = [entry for entry in servers.values() if isinstance(entry, dict)] if isinstance(servers, dict) else []
    found = [
        signature
        for entry in entries
        for key_id, signature in entry.items()
        if key_id.startswith("ed25519:") and isinstance(signature, str)
    ]
    return found[:MAX_ATTEMPTS]
