"""Which names an account may have, and whom somebody means who logs in.  Pure."""

import re
from typing import Any

from homeserver.errors import BadJSON, Forbidden, Refused
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import UserID

_DIGITS = re.compile(r"[^0-9]")
MAX_ADDRESS = 500


def new_user_id(username: str, server_name: str, *, by_operator: bool = False) -> UserID:
    """The user id for the name that somebody asks for; raises M_INVALID_USERNAME.

    Names that begin with an underscore are left to bridges and operators.
    """
    localpart = username.lower()
    if not localpart.isascii() or ":" in localpart:
        raise _invalid("A user name may only contain a-z, 0-9 and . _ = - / +")
    if localpart.startswith("_") and not by_operator:
        raise _invalid("A user name may not begin with an underscore")
    try:
        return UserID.parse_new(f"@{localpart}:{server_name}")
    except Malformed as error:
        raise _invalid(str(error)) from None


def _invalid(sentence: str) -> Refused:
    return Refused(400, "M_INVALID_USERNAME", sentence)


def in_use() -> Refused:
    """The refusal of a name that is taken."""
    return Refused(400, "M_USER_IN_USE", "This user name is already taken")


def exclusive() -> Refused:
    """The refusal of a name that a bridge keeps for itself."""
    return Refused(400, "M_EXCLUSIVE", "This user name is reserved for an application service")


def local_user(text: str, server_name: str) -> UserID | None:
    """The user id for a user id or a localpart; None if it is of another server or no user id at all."""
    try:
        user_id = UserID.parse(text if text.startswith("@") else f"@{text}:{server_name}")
    except Malformed:
        return None
    return user_id if user_id.endswith(f":{server_name}") else None


def email(address: str) -> str:
    """An e-mail address in the form in which addresses are compared; raises M_INVALID_EMAIL."""
    name, at, domain = address.strip().rpartition("@")
    if not at or not name or not domain or len(address) > MAX_ADDRESS or re.search(r"[\s<>,;:\"\0]", address.strip()):
        raise Refused(400, "M_INVALID_EMAIL", "This is not an e-mail address")
    return f"{name}@{domain}".casefold()


def threepid(identifier: dict[str, Any]) -> tuple[str, str]:
    """Medium and address, canonical, of a third-party identifier; raises `Forbidden` for a medium nobody knows."""
    medium, address = _text(identifier, "medium"), _text(identifier, "address")
    if medium == "email":
        return medium, email(address)
    if medium == "msisdn":
        return medium, _DIGITS.sub("", address)
    raise Forbidden(f"The medium {medium[:50]!r} is not known here")


def meant(request: dict[str, Any], server_name: str) -> UserID | tuple[str, str] | None:
    """Whom a login means: a user id, or medium and address; None for a user elsewhere.

    Reads `identifier`, and the fields that stood in its place before.  Raises `BadJSON` if nobody is named.
    spec: client-server-api#identifier-types
    """
    identifier = request.get("identifier")
    if identifier is None:
        identifier = _older(request)
    if not isinstance(identifier, dict):
        raise BadJSON("identifier: Expected an object")
    # The specification's own example of a third-party login lacks the type.
    kind = identifier.get("type", "m.id.thirdparty" if "medium" in identifier else None)
    if kind == "m.id.user":
        return local_user(_text(identifier, "user"), server_name)
    if kind == "m.id.thirdparty":
        return threepid(identifier)
    if kind == "m.id.phone":
        return "msisdn", _DIGITS.sub("", _text(identifier, "phone" if "phone" in identifier else "number"))
    raise Refused(400, "M_UNKNOWN", "This type of identifier is not known here")


def _older(request: dict[str, Any]) -> dict[str, Any]:
    if "medium" in request:
        return {"type": "m.id.thirdparty", "medium": request["medium"], "address": request.get("address")}
    if "user" in request:
        return {"type": "m.id.user", "user": request["user"]}
    raise BadJSON("identifier: Missing, it says who logs in")


def _text(source: dict[str, Any], name: str) -> str:
    value = source.get(name)
    if not isinstance(value, str) or not value:
        raise BadJSON(f"{name}: Expected a string")
    return value
