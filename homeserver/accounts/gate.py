"""The gate before what a token alone must not do: carries an authentication from stage to stage.  Performs no act itself.

What passes it must call `close` in the transaction of the act, so that one authentication opens once.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from homeserver.accounts import secrets
from homeserver.accounts.interactive import DUMMY, PASSWORD, TERMS, Act, Challenge, Offer, Proof, read_proof, same_place
from homeserver.clock import Clock
from homeserver.errors import Forbidden, Refused
from homeserver.storage import tokens
from homeserver.storage.database import Database, Transaction
from homeserver.storage.tokens import AuthSession
from homeserver.web.callers import Caller
from homeserver.web.types import Request

LIFETIME_MS = 30 * 60 * 1000
MAX_SESSIONS = 10_000
SWEEP_MS = 60_000

# From the session and the fields a client sent to the session with what was found out.  Raises `Refused` 401 if the client may try
# again, anything else to end the request.
Stage = Callable[[AuthSession, Mapping[str, Any]], Awaitable[AuthSession]]

ACCOUNT = Offer(((PASSWORD,),))


@dataclass(frozen=True, slots=True)
class Passed:
    """An authentication that is complete.  `stored` if it took more than one request."""

    session: AuthSession
    stored: bool

    def close(self, txn: Transaction) -> None:
        """Use it up; raises `Forbidden` if somebody was faster."""
        if self.stored and not tokens.end_session(txn, self.session.id_hash):
            raise Forbidden("This authentication was used already")


@dataclass
class _Swept:
    at: int = 0


async def agree(session: AuthSession, fields: Mapping[str, Any]) -> AuthSession:
    """A stage that asks for nothing: dummy, and the acceptance of terms."""
    return session


@dataclass(frozen=True)
class Gate:
    """Interactive authentication; `stages` are those this server knows."""

    database: Database
    clock: Clock
    stages: Mapping[str, Stage]
    _swept: _Swept = field(default_factory=_Swept)

    async def account(self, caller: Caller, request: Request, body: Mapping[str, Any]) -> Passed:
        """Let the owner of an account pass, who gives the password.  Application services pass as they are."""
        if caller.appservice is not None:
            return Passed(AuthSession(b"", b"", caller.user_id, self.clock.now()), stored=False)
        return await self.open(Act(request.method, request.path, caller.user_id, body), ACCOUNT)

    async def open(self, act: Act, offer: Offer) -> Passed:
        """The authentication for this act once it is complete; until then raises `Challenge`."""
        proof = read_proof(act.body.get("auth"))
        session_id = proof.session if proof and proof.session is not None else secrets.AUTHENTICATION + secrets.fresh()
        session = AuthSession(secrets.hashed(session_id), act.seal(session_id), act.user_id, self.clock.now())
        if proof is None:
            await self._save(session, new=True)
            raise Challenge(session_id, offer, ())
        if proof.session is not None:
            known = await self.database.read(tokens.session, session.id_hash, self._horizon)
            if known is None:
                raise await self._expired(act, offer)
            session = known if known.act == session.act else await self._rebound(known, session.act)
        return await self._go_on(offer, proof, session_id, session)

    async def _rebound(self, known: AuthSession, act: bytes) -> AuthSession:
        """Some clients ask what is needed with an empty body: as long as nothing was proven, the body may still change."""
        same = same_place(known.act, act) and not known.completed
        if not same or not await self.database.write(tokens.rebind_session, known.id_hash, act):
            raise Forbidden("This authentication was begun for another request")
        return replace(known, act=act)

    async def _go_on(self, offer: Offer, proof: Proof, session_id: str, session: AuthSession) -> Passed:
        error, before, stored = None, session, proof.session is not None
        if proof.stage is not None and proof.stage not in session.completed:
            try:
                session = await self._complete(offer, proof, session)
            except Refused as refused:
                if refused.status != 401:
                    raise
                error = refused
        if error is None and offer.passed(session.completed):
            return Passed(session, stored)
        if session != before or not stored:
            await self._save(session, new=not stored)
        raise Challenge(session_id, offer, session.completed, error)

    async def _complete(self, offer: Offer, proof: Proof, session: AuthSession) -> AuthSession:
        stage = self.stages.get(proof.stage or "")
        if stage is None or proof.stage is None or not offer.has(proof.stage):
            raise Refused(401, "M_UNRECOGNIZED", "This stage is not one of those offered")
        done = await stage(session, proof.fields)
        return replace(done, completed=(*done.completed, proof.stage))

    async def outside(self, session_id: str, stage: str, fields: Mapping[str, Any]) -> bool:
        """Complete a stage in a browser, for a client that cannot.  Raises what the stage raises; False if there is no such session."""
        session = await self.database.read(tokens.session, secrets.hashed(session_id), self._horizon)
        if session is None or stage not in self.stages:
            return False
        if stage not in session.completed:
            done = await self.stages[stage](session, fields)
            await self._save(replace(done, completed=(*done.completed, stage)), new=False)
        return True

    @property
    def _horizon(self) -> int:
        return self.clock.now() - LIFETIME_MS

    async def _expired(self, act: Act, offer: Offer) -> Challenge:
        session_id = secrets.AUTHENTICATION + secrets.fresh()
        await self._save(AuthSession(secrets.hashed(session_id), act.seal(session_id), act.user_id, self.clock.now()), new=True)
        return Challenge(session_id, offer, (), Refused(401, "M_UNKNOWN", "This authentication has expired, begin again"))

    async def _save(self, session: AuthSession, *, new: bool) -> None:
        sweep = self.clock.now() - self._swept.at > SWEEP_MS
        if sweep:
            self._swept.at = self.clock.now()
        await self.database.write(_save, session, new, self._horizon if sweep else None)


def _save(txn: Transaction, session: AuthSession, new: bool, sweep_before: int | None) -> None:
    if new:
        tokens.add_session(txn, session)
    else:
        tokens.advance_session(txn, session)
    if sweep_before is not None:
        tokens.sweep_sessions(txn, sweep_before, MAX_SESSIONS)


AGREEABLE: dict[str, Stage] = {DUMMY: agree, TERMS: agree}
