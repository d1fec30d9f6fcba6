"""Pages in a browser for what a client cannot do itself: stages of an authentication, logging in, confirming an address.

spec: client-server-api#fallback
"""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Any

import msgspec

from homeserver.accounts.gate import Gate
from homeserver.accounts.interactive import DUMMY, PASSWORD, TERMS, TOKEN
from homeserver.accounts.threepids import SUBMIT_PATH, Threepids
from homeserver.errors import Refused
from homeserver.settings import Settings
from homeserver.web.coding import query_values
from homeserver.web.routes import get, post
from homeserver.web.types import Response

STAGE = "/_matrix/client/v3/auth/{stage}/fallback/web"
MAX_FORM = 8 * 1024

# Word for word what the specification prescribes.
DONE = """if (window.onAuthDone) { window.onAuthDone(); }
else if (window.opener && window.opener.postMessage) { window.opener.postMessage("authDone", "*"); }"""

LOGIN = """document.forms[0].addEventListener("submit", async event => {
  event.preventDefault();
  const form = new FormData(event.target), more = Object.fromEntries(new URLSearchParams(location.search));
  const identifier = {type: "m.id.user", user: form.get("user")};
  const body = {...more, type: "m.login.password", identifier, password: form.get("password")};
  const answer = await fetch("/_matrix/client/v3/login", {method: "POST", body: JSON.stringify(body)});
  const result = await answer.json();
  if (!answer.ok) { document.getElementById("said").textContent = result.error; return; }
  if (window.matrixLogin && window.matrixLogin.onLogin) { window.matrixLogin.onLogin(result); }
  else { document.getElementById("said").textContent = "You are logged in."; }
});"""

FORMS = {
    PASSWORD: '<label>User name <input name="user" autocomplete="username" required></label>'
    '<label>Password <input name="password" type="password" autocomplete="current-password" required></label>',
    TOKEN: '<label>Registration token <input name="token" required></label>',
    TERMS: "",
    DUMMY: "",
}


class Sessioned(msgspec.Struct):
    """The session of an authentication."""

    session: str


class Followed(msgspec.Struct):
    """What stands in the link of a mail."""

    sid: str
    token: str


def page(title: str, content: str, script: str = "", status: int = 200) -> Response:
    """A page that may run this script, send its forms here, and nothing else."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; form-action 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    html = (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title>"
        f"<h1>{escape(title)}</h1>{content}{f'<script>{script}</script>' if script else ''}</html>"
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return Response(status, headers, html.encode())


def _form(content: str, button: str, said: str = "") -> str:
    return f'<p id="said">{escape(said)}</p><form method="post">{content}<button>{escape(button)}</button></form>'


@dataclass(frozen=True)
class StagePages:
    """A page for each stage."""

    gate: Gate
    settings: Settings

    @get(STAGE)
    async def show(self, stage: str, query: Sessioned) -> Response:
        """The page on which a stage can be completed."""
        return self._page(stage)

    @post(STAGE, limit="registration", max_body=MAX_FORM)
    async def complete(self, stage: str, query: Sessioned, body: bytes) -> Response:
        """Complete a stage."""
        self._page(stage)
        given = {name: values[0] for name, values in query_values(body.decode("ascii", "replace")).items()}
        fields: dict[str, Any] = {**given, "identifier": {"type": "m.id.user", "user": given.get("user", "")}}
        try:
            known = await self.gate.outside(query.session, stage, fields)
        except Refused as refused:
            return self._page(stage, refused.sentence, refused.status)
        if not known:
            return page("Too late", "<p>This authentication has expired.  Please begin again.</p>", status=400)
        return page("Thank you", "<p>You may close this window and return to your client.</p>", DONE)

    def _page(self, stage: str, said: str = "", status: int = 200) -> Response:
        if stage not in FORMS or stage not in self.gate.stages:
            raise Refused(404, "M_UNRECOGNIZED", "There is no page for this stage")
        content = FORMS[stage]
        if stage == TERMS and self.settings.registration.terms_url:
            url = escape(self.settings.registration.terms_url, quote=True)
            content = f'<p>Please read and accept <a href="{url}" target="_blank" rel="noopener noreferrer">the terms</a>.</p>'
        return page("Authentication", _form(content, "I accept" if stage == TERMS else "Continue", said), status=status)


@dataclass(frozen=True)
class MailPages:
    """Where the link in a mail leads.  A click confirms, not the visit: programs follow links, too."""

    threepids: Threepids

    @get(SUBMIT_PATH)
    async def show(self, query: Followed) -> Response:
        """Ask for the click."""
        return page("Confirm your address", _form("", "Confirm", "Confirm only if it was you who asked for this mail."))

    @post(SUBMIT_PATH, max_body=MAX_FORM, limit="lookup")
    async def confirm(self, query: Followed, body: bytes) -> Response:
        """Take the click."""
        try:
            onwards = await self.threepids.confirm(query.sid, query.token)
        except Refused as refused:
            return page("This did not work", f"<p>{escape(refused.sentence)}</p>", status=refused.status)
        # A link to click, not a redirect: whoever asked for the mail chose it.
        link = f'<p>Go on to <a href="{escape(onwards, quote=True)}" rel="noopener noreferrer">{escape(onwards)}</a></p>' if onwards else ""
        return page("Thank you", f"<p>Your address is confirmed.  You may return to your client.</p>{link}")


class LoginPage:
    """The page for clients that know no way to log in."""

    @get("/_matrix/static/client/login")
    async def login(self) -> Response:
        """The page."""
        return page("Log in", _form(FORMS[PASSWORD], "Log in"), LOGIN)
