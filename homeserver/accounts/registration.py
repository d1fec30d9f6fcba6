"""How accounts come to be: names, registration tokens, guests, the shared secret.  Knows no HTTP.

The functions below the class are for the command line, too: they take a transaction and nothing else that lives.
"""

import hmac
import re
import secrets as random
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from homeserver.accounts import secrets, usernames
from homeserver.accounts.bridges import Bridge, Bridges
from homeserver.accounts.devices import Devices, Issued, Login
from homeserver.accounts.gate import Passed
from homeserver.accounts.interactive import DUMMY, EMAIL, TERMS, TOKEN, Flow, Offer
from homeserver.accounts.threepids import REGISTER
from homeserver.errors import Forbidden, InvalidParam, NotFound, Refused
from homeserver.events.identifiers import UserID
from homeserver.settings import Settings
from homeserver.storage import accounts, profiles, tokens
from homeserver.storage.accounts import Account, RegistrationToken, Threepid
from homeserver.storage.database import Database, Transaction

NONCE, NONCE_MS = "nonce", 60_000
MAX_TOKEN_USES = 2**53 - 1
# spec: appendices#opaque-identifiers
_TOKEN = re.compile(r"[0-9a-zA-Z._~-]{1,64}")


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account that is wanted."""

    user_id: UserID
    password_hash: str | None = None
    admin: bool = False
    kind: str = "user"
    appservice_id: str | None = None
    display_name: str | None = None


def offer(settings: Settings) -> Offer:
    """What people must do to register themselves; raises `Forbidden` where they cannot."""
    if settings.registration.mode == "closed":
        raise Forbidden("Registration is closed on this server")
    first: Flow = (TOKEN,) if settings.registration.mode == "token" else ()
    last: Flow = (TERMS,) if settings.registration.terms_url else ()
    # A flow must not be part of another, or clients could not choose the longer one.
    plain, mailed = (*first, *last) or (DUMMY,), (*first, EMAIL, *last)
    if settings.email is None:
        flows: tuple[Flow, ...] = (plain,)
    elif settings.registration.require_email:
        flows = (mailed,)
    else:
        flows = (plain if DUMMY in plain else (*plain, DUMMY), mailed)
    params = {TERMS: _policies(settings)} if settings.registration.terms_url else {}
    return Offer(flows, params)


def _policies(settings: Settings) -> dict[str, object]:
    terms = {"version": settings.registration.terms_version, "en": {"name": "Terms of Service", "url": settings.registration.terms_url}}
    return {"policies": {"terms_of_service": terms}}


@dataclass(frozen=True)
class Registration:
    """Makes accounts."""

    database: Database
    devices: Devices
    bridges: Bridges
    settings: Settings
    fresh: Callable[[], str] = secrets.fresh

    async def name(self, username: str | None, bridge: Bridge | None = None, *, upgrades: bool = False) -> UserID:
        """The user id for a wanted name, a random one for none; raises M_INVALID_USERNAME, M_USER_IN_USE, M_EXCLUSIVE."""
        user_id = self.allowed(username, bridge)
        if not upgrades and await self.database.read(accounts.get, user_id) is not None:
            raise usernames.in_use()
        return user_id

    def allowed(self, username: str | None, bridge: Bridge | None = None) -> UserID:
        """The same, but that somebody has it already is not seen: `register` does."""
        if username is None:
            username = random.token_hex(8)
        user_id = usernames.new_user_id(username, self.settings.server_name, by_operator=bridge is not None)
        if bridge is not None and not bridge.owns(user_id):
            raise usernames.exclusive()
        if self.bridges.reserved(user_id, bridge.id if bridge else None):
            raise usernames.exclusive()
        return user_id

    async def register(self, user: NewUser, login: Login | None, passed: Passed | None = None, guest: int | None = None) -> Issued | None:
        """Make the account and, unless `login` is None, its first session, all in one act.

        `passed` is used up, with the registration token and the address it proved; `guest` is the token of the guest who becomes a user.
        """
        return await self.database.write(self._register, user, login, passed, guest)

    def _register(self, txn: Transaction, user: NewUser, login: Login | None, passed: Passed | None, guest: int | None) -> Issued | None:
        now = self.devices.clock.now()
        account: Account | None = None
        if guest is None:
            account = create(txn, user, now)
        elif user.password_hash is None or not accounts.upgrade_guest(txn, user.user_id, user.password_hash):
            raise Forbidden("This is not the account of a guest")
        else:
            self.devices.remove_all(txn, user.user_id)
        if passed is not None:
            passed.close(txn)
            self._spend(txn, user.user_id, passed, now)
        return self.devices.log_in(txn, login, account) if login is not None else None

    def _spend(self, txn: Transaction, user_id: UserID, passed: Passed, now: int) -> None:
        session = passed.session
        if session.registration_token is not None and not accounts.use_registration_token(txn, session.registration_token):
            raise Forbidden("This registration token was used up by somebody else")
        if session.medium is not None and session.address is not None:
            if session.purpose != REGISTER:
                raise Forbidden("The address was proven for another purpose")
            if not accounts.add_threepid(txn, Threepid(session.medium, session.address, user_id, now, now)):
                raise Refused(400, "M_THREEPID_IN_USE", "This address belongs to another account")

    async def guest(self, display_name: str | None) -> Issued | None:
        """A new guest; raises `Forbidden` where there are none."""
        if not self.settings.registration.guests:
            raise Forbidden("There are no guest accounts on this server")
        user_id = UserID.parse_new(f"@{random.randbelow(10**15):015}:{self.settings.server_name}")
        return await self.register(NewUser(user_id, kind="guest"), Login(user_id, None, display_name))

    async def nonce(self) -> str:
        """A nonce for one registration by the shared secret; raises `Refused` where there is no such secret."""
        self._shared_secret()
        nonce = self.fresh()
        await self.database.write(self._keep_nonce, secrets.hashed(nonce))
        return nonce

    def _keep_nonce(self, txn: Transaction, nonce_hash: bytes) -> None:
        now = self.devices.clock.now()
        tokens.sweep_short(txn, now)
        tokens.add_short(txn, nonce_hash, NONCE, "", now + NONCE_MS)

    def check_mac(self, nonce: str, mac: str, signed: list[str]) -> None:
        """Check the MAC of the texts `signed`; raises `Refused`."""
        secret = self._shared_secret()
        if any("\0" in text for text in signed):
            raise InvalidParam("NUL characters are not allowed")
        wanted = hmac.new(secret, b"\0".join(text.encode("utf-8", "surrogatepass") for text in (nonce, *signed)), "sha1").hexdigest()
        if not hmac.compare_digest(wanted.encode(), mac.lower().encode("utf-8", "surrogatepass")):
            raise Forbidden("The MAC is wrong")

    async def register_signed(self, nonce: str, user: NewUser) -> Issued | None:
        """Use the nonce up and make the account, in one act; raises `Refused`."""
        return await self.database.write(self._register_signed, secrets.hashed(nonce), user)

    def _register_signed(self, txn: Transaction, nonce_hash: bytes, user: NewUser) -> Issued | None:
        if tokens.take_short(txn, nonce_hash, NONCE, self.devices.clock.now()) is None:
            raise Refused(400, "M_UNKNOWN", "This nonce is not known, or was used already")
        return self._register(txn, user, Login(user.user_id), None, None)

    def _shared_secret(self) -> bytes:
        secret = self.settings.registration.shared_secret
        if secret is None:
            raise Refused(400, "M_UNKNOWN", "Registration by a shared secret is not set up on this server")
        return secret.reveal().encode()


# For the command line and administrators


def create(txn: Transaction, user: NewUser, now: int) -> Account:
    """Store a new account and its display name; raises M_USER_IN_USE."""
    account = Account(user.user_id, user.kind, user.appservice_id, user.password_hash, now, user.admin)
    if not accounts.add(txn, account):
        raise usernames.in_use()
    name = user.display_name if user.display_name is not None else user.user_id.localpart
    if name and user.kind != "guest":
        profiles.put(txn, user.user_id, "displayname", orjson.dumps(name))
    return account


def new_token(
    txn: Transaction, now: int, *, token: str | None = None, uses: int | None = 1, expires_ts: int | None = None
) -> RegistrationToken:
    """Make a registration token, by default for one use; raises `InvalidParam`."""
    if token is not None and not _TOKEN.fullmatch(token):
        raise InvalidParam("A registration token has 1 to 64 of the characters 0-9 a-z A-Z . _ ~ -")
    if uses is not None and not 0 <= uses <= MAX_TOKEN_USES:
        raise InvalidParam("The number of uses may not be negative")
    if expires_ts is not None and expires_ts <= now:
        raise InvalidParam("The time of expiry is in the past")
    # No dash: at the start of a word the command line would take it for an option.
    made = RegistrationToken(token or random.token_urlsafe(12).replace("-", "."), uses, 0, now, expires_ts)
    if not accounts.add_registration_token(txn, made):
        raise InvalidParam("There is such a registration token already")
    return made


def first_token(txn: Transaction, now: int) -> RegistrationToken | None:
    """The token for the first account, made when there is none to use; None as soon as there is an account."""
    if not accounts.none(txn):
        return None
    usable = (token for token in accounts.registration_tokens(txn) if token.completed == 0 and token.expires_ts is None)
    return next(usable, None) or new_token(txn, now)


def list_tokens(txn: Transaction) -> list[RegistrationToken]:
    """All registration tokens, oldest first."""
    return accounts.registration_tokens(txn)


def revoke_token(txn: Transaction, token: str) -> None:
    """End a registration token; raises `NotFound`."""
    if not accounts.remove_registration_token(txn, token):
        raise NotFound("There is no such registration token")
