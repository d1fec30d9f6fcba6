"""Making accounts.  spec: client-server-api#legacy-account-registration"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.accounts import interactive, passwords, profiles, registration
from homeserver.accounts.callers import Callers
from homeserver.accounts.devices import Issued, Login
from homeserver.accounts.gate import Gate
from homeserver.accounts.interactive import Act
from homeserver.accounts.passwords import Passwords
from homeserver.accounts.proofs import TokenProof
from homeserver.accounts.registration import NewUser, Registration
from homeserver.accounts.threepids import REGISTER, Threepids, Wish
from homeserver.errors import Forbidden, InvalidParam, MissingParam, Refused
from homeserver.events.identifiers import UserID
from homeserver.web.callers import find_token
from homeserver.web.coding import shaped
from homeserver.web.limits import Limits, by_address
from homeserver.web.routes import get, post
from homeserver.web.types import Request

APPSERVICE = "m.login.application_service"


class Wanted(msgspec.Struct):
    """What somebody sends who wants an account."""

    username: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    inhibit_login: bool = False
    refresh_token: bool = False
    type: str | None = None
    guest_access_token: str | None = None
    auth: Any = None

    def login(self, user_id: UserID) -> Login | None:
        """The session asked for along with the account."""
        if self.inhibit_login:
            return None
        return Login(user_id, self.device_id, self.initial_device_display_name, self.refresh_token)


class Kind(msgspec.Struct):
    """`kind`: user or guest."""

    kind: str = "user"


class Named(msgspec.Struct):
    """A name somebody would like."""

    username: str


class Worded(msgspec.Struct):
    """A registration token."""

    token: str


class Mailed(msgspec.Struct):
    """An address to be proven."""

    client_secret: str
    email: str
    send_attempt: int
    next_link: str | None = None

    def wish(self) -> Wish:
        """The same, checked."""
        return Wish(self.email, self.client_secret, self.send_attempt, self.next_link or None)


class Texted(msgspec.Struct):
    """A telephone number to be proven."""

    client_secret: str
    phone_number: str
    send_attempt: int
    country: str = ""


class Signed(msgspec.Struct):
    """An account asked for by a program that knows the shared secret."""

    nonce: str
    username: str
    password: str
    mac: str
    admin: bool = False
    user_type: str | None = None
    displayname: str | None = None


def session(user_id: UserID, issued: Issued | None) -> dict[str, Any]:
    """The tokens as clients expect them; only the name where there is no session."""
    answer: dict[str, Any] = {"user_id": user_id, "home_server": user_id.domain}
    if issued is not None:
        answer |= {"access_token": issued.access_token, "device_id": issued.device_id}
        if issued.refresh_token is not None:
            answer["refresh_token"] = issued.refresh_token
        if issued.expires_in_ms is not None:
            answer["expires_in_ms"] = issued.expires_in_ms
    return answer


def no_telephone() -> Refused:
    """The refusal of telephone numbers."""
    return Refused(403, "M_THREEPID_DENIED", "This server does not take telephone numbers")


@dataclass(frozen=True)
class Registering:
    """Registration by people, guests and application services."""

    registration: Registration
    gate: Gate
    passwords: Passwords
    callers: Callers
    limits: Limits

    @post("/_matrix/client/v3/register")
    async def register(self, request: Request, query: Kind, body: dict[str, Any]) -> dict[str, Any]:
        """Make an account."""
        wanted: Wanted = shaped(body, Wanted)
        if query.kind == "guest":
            self.limits.check("registration", by_address(request.ip))
            return await self._guest(wanted)
        if query.kind != "user":
            raise InvalidParam("kind is user or guest")
        token = find_token(request)
        if wanted.type == APPSERVICE or (token is not None and self.callers.bridges.by_token(token) is not None):
            return await self._for_bridge(token, wanted)
        return await self._user(request, wanted, body)

    async def _guest(self, wanted: Wanted) -> dict[str, Any]:
        issued = await self.registration.guest(wanted.initial_device_display_name)
        assert issued is not None
        return session(issued.user_id, issued)

    async def _for_bridge(self, token: str | None, wanted: Wanted) -> dict[str, Any]:
        bridge = self.callers.bridges.by_token(token) if token is not None else None
        if bridge is None:
            raise Refused(401, "M_UNKNOWN_TOKEN", "This is not the token of an application service")
        if wanted.username is None:
            raise MissingParam("username: An application service must name the user")
        user_id = await self.registration.name(wanted.username, bridge)
        user = NewUser(user_id, kind="appservice", appservice_id=bridge.id)
        return session(user_id, await self.registration.register(user, wanted.login(user_id)))

    async def _user(self, request: Request, wanted: Wanted, body: dict[str, Any]) -> dict[str, Any]:
        offer = registration.offer(self.registration.settings)
        # Only attempts count: a client that asks what is needed first would use up the limit twice as fast.
        self.limits.check("lookup" if wanted.auth is None else "registration", by_address(request.ip))
        if wanted.password is not None:
            passwords.checked(wanted.password, self.registration.settings.passwords.min_length)
        guest = await self._guest_token(request, wanted)
        if wanted.username is not None and wanted.auth is None:
            # Later the act that makes the account sees whether somebody has it.
            await self.registration.name(wanted.username, upgrades=guest is not None)
        passed = await self.gate.open(Act(request.method, request.path, None, body), offer)
        if wanted.password is None:
            raise MissingParam("password: Missing")
        user_id = self.registration.allowed(wanted.username)
        login = wanted.login(user_id)
        user = NewUser(user_id, await self.passwords.hash(wanted.password))
        return session(user_id, await self.registration.register(user, login, passed, guest))

    async def _guest_token(self, request: Request, wanted: Wanted) -> int | None:
        if wanted.guest_access_token is None:
            return None
        bearer = Request("GET", request.path, headers={"authorization": f"Bearer {wanted.guest_access_token}"}, ip=request.ip)
        caller = await self.callers.identify(bearer)
        if not caller.is_guest or wanted.username is None or caller.user_id.localpart != wanted.username.lower():
            raise Forbidden("This is not the account of a guest")
        return caller.token_id

    @get("/_matrix/client/v3/register/available", limit="lookup")
    async def available(self, query: Named) -> dict[str, Any]:
        """Whether a name is free."""
        await self.registration.name(query.username)
        return {"available": True}


@dataclass(frozen=True)
class RegistrationProofs:
    """What people prove before they have an account: a token, an address."""

    registration: Registration
    tokens: TokenProof
    threepids: Threepids
    limits: Limits

    @get("/_matrix/client/v1/register/m.login.registration_token/validity", limit="registration")
    async def validity(self, query: Worded) -> dict[str, Any]:
        """Whether a registration token is good."""
        offer = registration.offer(self.registration.settings)
        return {"valid": offer.has(interactive.TOKEN) and await self.tokens.valid(query.token)}

    @post("/_matrix/client/v3/register/email/requestToken", limit="registration")
    async def mail(self, body: Mailed) -> dict[str, Any]:
        """Send a mail that proves an address."""
        registration.offer(self.registration.settings)
        self.limits.check("registration", body.email.casefold())
        return {"sid": await self.threepids.begin(body.wish(), REGISTER)}

    @post("/_matrix/client/v3/register/msisdn/requestToken")
    async def text(self, body: Texted) -> None:
        """Telephone numbers are not taken."""
        raise no_telephone()


@dataclass(frozen=True)
class SharedSecret:
    """Registration by programs that know the shared secret, as Synapse offers it."""

    registration: Registration
    passwords: Passwords

    @get("/_synapse/admin/v1/register", limit="registration")
    async def nonce(self) -> dict[str, Any]:
        """A nonce to sign."""
        return {"nonce": await self.registration.nonce()}

    @post("/_synapse/admin/v1/register", limit="registration")
    async def register(self, body: Signed) -> dict[str, Any]:
        """Make an account, an administrator's if asked."""
        signed = [body.username, body.password, "admin" if body.admin else "notadmin"]
        self.registration.check_mac(body.nonce, body.mac, signed + ([body.user_type] if body.user_type else []))
        passwords.checked(body.password, 1)
        if body.displayname is not None:
            profiles.checked("displayname", {"displayname": body.displayname})
        user_id = self.registration.allowed(body.username)
        user = NewUser(user_id, await self.passwords.hash(body.password), body.admin, display_name=body.displayname)
        return session(user_id, await self.registration.register_signed(body.nonce, user))
