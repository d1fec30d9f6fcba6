"""E-mail addresses of accounts, and the proof that somebody reads them.  Talks to no identity server.

Whether an address belongs to an account is told to its reader only, by mail, never to who asks.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from twisted.logger import Logger

from homeserver.accounts import secrets, usernames
from homeserver.accounts.mail import Post
from homeserver.clock import Clock
from homeserver.errors import InvalidParam, NotFound, Refused
from homeserver.events.identifiers import UserID
from homeserver.events.vendor import CLIENT
from homeserver.storage import accounts, validations
from homeserver.storage.accounts import Threepid
from homeserver.storage.database import Database, Transaction
from homeserver.storage.validations import Validation

log = Logger()

LIFETIME_MS = 60 * 60 * 1000
REGISTER, PASSWORD, ADD = "register", "password", "add"
SUBMIT_PATH = f"{CLIENT}/email/submit_token"

_SECRET = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")

SUBJECTS = {REGISTER: "Confirm your address", PASSWORD: "Set a new password", ADD: "Confirm your address"}
WHY = {
    REGISTER: "Somebody, we hope you, wants to make an account at {server} with this address.",
    PASSWORD: "Somebody, we hope you, wants to set a new password for your account {user}.",
    ADD: "Somebody, we hope you, wants to add this address to an account at {server}.",
}
LINK = "\n\nIf it was you, open this page within an hour and confirm:\n\n{link}\n\nIf it was not you, do nothing.\n"
KNOWN = "Somebody, we hope you, wants to use this address for an account at {server}.  It belongs to your account {user} already.\n"
UNKNOWN = "Somebody, we hope you, wants to set a new password at {server}.  There is no account with this address.\n"


@dataclass(frozen=True, slots=True)
class Wish:
    """A client's request to have an address proven."""

    email: str
    client_secret: str
    send_attempt: int
    next_link: str | None = None

    def __post_init__(self) -> None:
        if not _SECRET.fullmatch(self.client_secret):
            raise InvalidParam("client_secret: 1 to 255 of the characters 0-9 a-z A-Z . = _ -")
        if self.next_link is not None and (len(self.next_link) > 1000 or not self.next_link.startswith(("https://", "http://"))):
            raise InvalidParam("next_link: Expected a URL that begins with https://")


@dataclass(frozen=True)
class Threepids:
    """The addresses of all accounts.  Without `post` no address can be proven."""

    database: Database
    clock: Clock
    server_name: str
    base_url: str
    post: Post | None = None

    async def begin(self, wish: Wish, purpose: str) -> str:
        """Send a mail that proves the address; the id of the validation.  Raises M_THREEPID_DENIED where no mail is sent."""
        if self.post is None:
            raise Refused(403, "M_THREEPID_DENIED", "This server sends no mail, so it cannot check addresses")
        address = usernames.email(wish.email)
        token = secrets.fresh()
        validation = Validation(
            secrets.fresh(),
            secrets.hashed(wish.client_secret),
            "email",
            address,
            purpose,
            secrets.hashed(token),
            wish.send_attempt,
            self.clock.now(),
            wish.next_link,
        )
        sid, new, owner = await self.database.write(self._begin, validation)
        if new:
            await self._send(self.post, wish.email.strip(), purpose, (sid, self._text(purpose, owner, sid, token)))
        return sid

    async def _send(self, post: Post, to: str, purpose: str, letter: tuple[str, str]) -> None:
        sid, text = letter
        try:
            await post.send(to, f"{SUBJECTS[purpose]} ({self.server_name})", text)
        except Exception:
            log.failure("A mail could not be sent")
            await self.database.write(validations.remove, sid)
            raise Refused(500, "M_UNKNOWN", "The mail could not be sent, please try again later") from None

    def _begin(self, txn: Transaction, wanted: Validation) -> tuple[str, bool, UserID | None]:
        validations.sweep(txn, self.clock.now() - LIFETIME_MS)
        owner = accounts.owner(txn, wanted.medium, wanted.address)
        known = validations.find(txn, wanted)
        if known is not None and known.attempt >= wanted.attempt:
            return known.sid, False, owner
        if known is not None:
            validations.remove(txn, known.sid)
        validations.put(txn, wanted)
        return wanted.sid, True, owner

    def _text(self, purpose: str, owner: UserID | None, sid: str, token: str) -> str:
        names = {"server": self.server_name, "user": owner or ""}
        if purpose == PASSWORD and owner is None:
            return UNKNOWN.format(**names)
        if purpose != PASSWORD and owner is not None:
            return KNOWN.format(**names)
        link = f"{self.base_url}{SUBMIT_PATH}?{urlencode({'sid': sid, 'token': token})}"
        return (WHY[purpose] + LINK).format(link=link, **names)

    async def confirm(self, sid: str, token: str) -> str | None:
        """The link in the mail was followed: the page where the client wants to go on.  Raises M_TOKEN_INCORRECT."""
        return await self.database.write(self._confirm, sid, secrets.hashed(token))

    def _confirm(self, txn: Transaction, sid: str, token_hash: bytes) -> str | None:
        now = self.clock.now()
        found = validations.get(txn, sid, now - LIFETIME_MS)
        if found is None or found.token_hash != token_hash:
            raise Refused(400, "M_TOKEN_INCORRECT", "This link is not valid any more")
        validations.proven(txn, sid, now)
        return found.next_link

    async def proven(self, sid: str, client_secret: str) -> Validation | None:
        """The validation, if the reader of the address confirmed it and the client is the one that began it."""
        found = await self.database.read(validations.get, sid, self.clock.now() - LIFETIME_MS)
        right = found is not None and found.validated_ts is not None and found.secret_hash == secrets.hashed(client_secret)
        return found if right else None

    async def owner(self, medium: str, address: str) -> UserID | None:
        """Whose address it is."""
        return await self.database.read(accounts.owner, medium, address)

    async def of_user(self, user_id: str) -> list[Threepid]:
        """The addresses of an account."""
        return await self.database.read(accounts.threepids, user_id)

    def add(self, txn: Transaction, user_id: UserID, medium: str, address: str) -> None:
        """Give a proven address to an account; raises M_THREEPID_IN_USE."""
        now = self.clock.now()
        if not accounts.add_threepid(txn, Threepid(medium, address, user_id, now, now)):
            raise Refused(400, "M_THREEPID_IN_USE", "This address belongs to another account")

    async def remove(self, user_id: UserID, medium: str, address: str) -> None:
        """Take an address from an account; raises `NotFound`."""
        medium, address = usernames.threepid({"medium": medium, "address": address})
        if not await self.database.write(accounts.remove_threepid, user_id, medium, address):
            raise NotFound("This address does not belong to your account")
