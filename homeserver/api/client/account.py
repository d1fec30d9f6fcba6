"""An account: its password, its addresses, its end.  spec: client-server-api#legacy-account-management"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.accounts import passwords
from homeserver.accounts.closing import Closing
from homeserver.accounts.gate import ACCOUNT, Gate, Passed
from homeserver.accounts.interactive import EMAIL, PASSWORD, Act, Offer
from homeserver.accounts.passwords import Passwords
from homeserver.accounts.threepids import ADD, Threepids
from homeserver.accounts.threepids import PASSWORD as RESET
from homeserver.api.client.register import Mailed, Texted, no_telephone
from homeserver.errors import BadJSON, Forbidden, Refused
from homeserver.events.identifiers import UserID
from homeserver.settings import Settings
from homeserver.storage.database import Transaction
from homeserver.web.callers import Caller
from homeserver.web.coding import shaped
from homeserver.web.limits import Limits
from homeserver.web.routes import get, post
from homeserver.web.types import Request


class NewPassword(msgspec.Struct):
    """A new password."""

    new_password: str
    logout_devices: bool = True


class Deactivation(msgspec.Struct):
    """`erase`: hide what the user wrote from who comes later."""

    erase: bool = False


class Proven(msgspec.Struct):
    """A proven address: the validation and its client's secret."""

    sid: str
    client_secret: str


class Address(msgspec.Struct):
    """An address of an account."""

    medium: str
    address: str


def owner(passed: Passed) -> UserID:
    """The account whose owner passed; raises `Forbidden` if no account was proven."""
    session = passed.session
    if session.user_id is None or (EMAIL in session.completed and session.purpose != RESET):
        raise Forbidden("The address was not proven for this purpose")
    return UserID(session.user_id)


@dataclass(frozen=True)
class AccountKeeping:
    """Passwords and deactivation."""

    settings: Settings
    gate: Gate
    passwords: Passwords
    closing: Closing

    @post("/_matrix/client/v3/account/password", limit="login")
    async def change_password(self, caller: Caller | None, request: Request, body: dict[str, Any]) -> None:
        """Set a new password; needs the old one, or a mail to an address of the account."""
        if not self.settings.passwords.enabled:
            raise Forbidden("There are no passwords on this server")
        if caller is not None and (caller.is_locked or caller.appservice is not None):
            raise Forbidden("This account has no password to change")
        asked: NewPassword | None = None
        if body.get("auth") is not None or "new_password" in body:
            asked = shaped(body, NewPassword)
        if asked is not None:
            passwords.checked(asked.new_password, self.settings.passwords.min_length)
        flows = ((PASSWORD,), (EMAIL,)) if self.settings.email is not None else ((PASSWORD,),)
        passed = await self.gate.open(Act(request.method, request.path, caller.user_id if caller else None, body), Offer(flows))
        user_id = owner(passed)
        if asked is None:
            raise BadJSON("new_password: Missing")
        hashed = await self.passwords.hash(asked.new_password)
        if not asked.logout_devices:
            await self.closing.replace_password(user_id, hashed, passed)
        elif caller is None:
            await self.closing.set_password(user_id, hashed, None, None, passed)
        else:
            await self.closing.set_password(user_id, hashed, caller.device_id, caller.token_id, passed)

    @post("/_matrix/client/v3/account/deactivate", limit="login")
    async def deactivate(self, caller: Caller | None, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """End the account for good."""
        asked: Deactivation = shaped(body, Deactivation)
        if caller is None:
            passed = await self.gate.open(Act(request.method, request.path, None, body), ACCOUNT)
        else:
            passed = await self.gate.account(caller, request, body)
        await self.closing.deactivate(owner(passed), asked.erase, passed)
        return {"id_server_unbind_result": "success"}


@dataclass(frozen=True)
class Addresses:
    """The e-mail addresses of accounts.  Identity servers are not asked."""

    threepids: Threepids
    gate: Gate
    limits: Limits

    @get("/_matrix/client/v3/account/3pid")
    async def all(self, caller: Caller) -> dict[str, Any]:
        """The addresses of the account."""
        found = await self.threepids.of_user(caller.user_id)
        return {
            "threepids": [
                {"medium": one.medium, "address": one.address, "validated_at": one.validated_ts, "added_at": one.added_ts} for one in found
            ]
        }

    @post("/_matrix/client/v3/account/3pid/add", limit="login")
    async def add(self, caller: Caller, request: Request, body: dict[str, Any]) -> None:
        """Add a proven address to the account."""
        proven: Proven = shaped(body, Proven)
        await self._add(caller, proven, await self.gate.account(caller, request, body))

    @post("/_matrix/client/v3/account/3pid", limit="login")
    async def add_older(self, caller: Caller, request: Request, body: dict[str, Any]) -> None:
        """The same for older clients."""
        proven: Proven = shaped(body.get("three_pid_creds", body.get("threePidCreds")), Proven)
        await self._add(caller, proven, await self.gate.account(caller, request, body))

    async def _add(self, caller: Caller, proven: Proven, passed: Passed) -> None:
        found = await self.threepids.proven(proven.sid, proven.client_secret)
        if found is None or found.purpose != ADD:
            raise Refused(403, "M_THREEPID_AUTH_FAILED", "The link in the mail has not been followed yet")
        await self.threepids.database.write(self._store, caller.user_id, (found.medium, found.address), passed)

    def _store(self, txn: Transaction, user_id: UserID, address: tuple[str, str], passed: Passed) -> None:
        passed.close(txn)
        self.threepids.add(txn, user_id, *address)

    @post("/_matrix/client/v3/account/3pid/delete")
    async def delete(self, caller: Caller, body: Address) -> dict[str, Any]:
        """Take an address from the account."""
        await self.threepids.remove(caller.user_id, body.medium, body.address)
        return {"id_server_unbind_result": "no-support"}

    @post("/_matrix/client/v3/account/3pid/bind")
    async def bind(self, caller: Caller, body: dict[str, Any]) -> None:
        """Identity servers are not asked."""
        raise Refused(403, "M_THREEPID_DENIED", "This server does not publish addresses on identity servers")

    @post("/_matrix/client/v3/account/3pid/unbind")
    async def unbind(self, caller: Caller, body: Address) -> dict[str, Any]:
        """Nothing was ever published, so nothing can be withdrawn."""
        return {"id_server_unbind_result": "no-support"}

    @post("/_matrix/client/v3/account/3pid/email/requestToken", limit="registration")
    async def mail_to_add(self, body: Mailed) -> dict[str, Any]:
        """Send a mail that proves an address to be added."""
        self.limits.check("registration", body.email.casefold())
        return {"sid": await self.threepids.begin(body.wish(), ADD)}

    @post("/_matrix/client/v3/account/password/email/requestToken", limit="registration")
    async def mail_to_reset(self, body: Mailed) -> dict[str, Any]:
        """Send a mail with which a password can be replaced."""
        self.limits.check("registration", body.email.casefold())
        return {"sid": await self.threepids.begin(body.wish(), RESET)}

    @post("/_matrix/client/v3/account/3pid/msisdn/requestToken", "/_matrix/client/v3/account/password/msisdn/requestToken")
    async def text(self, body: Texted) -> None:
        """Telephone numbers are not taken."""
        raise no_telephone()
