"""The one name under which everything stands that Matrix cannot say: event types, room versions, fields, endpoints, features."""

from typing import Final

NAMESPACE: Final = "org.homeserver"
CLIENT: Final = f"/_matrix/client/unstable/{NAMESPACE}"
FEDERATION: Final = f"/_matrix/federation/unstable/{NAMESPACE}"


def named(name: str) -> str:
    """A type, a field or a room version of ours."""
    return f"{NAMESPACE}.{name}"
