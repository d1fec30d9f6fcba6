"""The page behind a join link, for a person with a browser: the room, and ways to open it.  Needs no script, loads nothing.

A link that is no good, for whatever reason, shows the page of one that never was.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from html import escape

from homeserver.errors import LimitExceeded, Refused
from homeserver.events.errors import Denied, Malformed
from homeserver.events.identifiers import ServerName, UserID
from homeserver.membership.links import landing
from homeserver.membership.links.landing import Landing
from homeserver.membership.links.making import NoSuchLink
from homeserver.membership.links.redeeming import Redeeming
from homeserver.storage.join_links import WAITING
from homeserver.web.coding import query_values
from homeserver.web.routes import get, post
from homeserver.web.types import Response

Picture = Callable[[str], Awaitable[tuple[str, bytes] | None]]
"""A small picture of an `mxc:` URI: its type and bytes, or None if there can be none."""

STYLE = """
:root { color-scheme: light dark; --ink: #16181b; --soft: #565c63; --paper: #ffffff; --ground: #e9eef0; --line: #858d95; --wash: #eef6f3;
  --deep: #0b5c4a; --strong: #08483a; --on: #ffffff; --glow: #cfe8df; --bad: #a3221a }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f4f6; --soft: #b6bdc4; --paper: #1a1e23; --ground: #0e1114; --line: #7b848d; --wash: #20302c;
    --deep: #7fe0c6; --strong: #a5ecd9; --on: #06231c; --glow: #12332b; --bad: #ff9e94 }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; place-items: center; padding: 1.25rem; color: var(--ink);
  background: radial-gradient(60rem 30rem at 50% -6rem, var(--glow), transparent) var(--ground); font: 1.0625rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 26.5rem; padding: 2.25rem 1.75rem 1.75rem; border-radius: 1.5rem; background: var(--paper);
  overflow-wrap: anywhere; text-align: center; box-shadow: 0 1px 2px rgb(0 0 0 / .1), 0 1rem 3rem rgb(0 0 0 / .14) }
.avatar { display: grid; place-items: center; width: 6rem; height: 6rem; margin: 0 auto 1.25rem; border-radius: 50%;
  background: linear-gradient(145deg, var(--strong), var(--deep)); color: var(--on); font-size: 2.75rem; font-weight: 600;
  object-fit: cover; box-shadow: 0 0 0 .375rem var(--glow) }
.eyebrow { margin: 0; font-size: .9375rem }
h1 { margin: 0 0 .75rem; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em }
p { margin: 0 0 .75rem; color: var(--soft) }
.topic { color: var(--ink) }
.about { display: inline-block; margin-bottom: 1rem; padding: .2rem .9rem; border-radius: 1rem; background: var(--wash);
  color: var(--deep); font-size: .9375rem; font-weight: 600 }
.said { padding: .75rem 1rem; border-radius: .875rem; background: var(--wash); color: var(--ink); text-align: left }
.wrong { border: 2px solid var(--bad) }
ul { list-style: none; margin: 1.25rem 0 0; padding: 0; display: grid; gap: .75rem }
a, button { display: block; width: 100%; min-height: 3rem; padding: .7rem 1rem; border-radius: .875rem; border: 2px solid var(--deep);
  background: none; color: var(--deep); font: inherit; font-weight: 600; line-height: 1.35; text-decoration: none; cursor: pointer }
a.first { background: var(--deep); color: var(--on) }
a:hover, button:hover, details[open] button { border-color: var(--strong); color: var(--strong) }
a.first:hover { background: var(--strong); color: var(--on) }
details { margin-top: 1.25rem; border-top: 1px solid var(--glow); text-align: left }
summary { padding: 1rem .25rem .5rem; color: var(--deep); font-weight: 600; cursor: pointer }
label { display: block; margin-bottom: .375rem; font-weight: 600 }
input { width: 100%; min-height: 3rem; margin-bottom: .75rem; padding: .6rem .9rem; border: 2px solid var(--line); border-radius: .875rem;
  background: var(--paper); color: var(--ink); font: inherit }
input::placeholder { color: var(--soft); opacity: 1 }
:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; border-radius: .5rem }
@media (max-width: 26rem) { body { padding: .75rem } main { padding: 1.75rem 1.25rem 1.25rem } }
"""
_DIGEST = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
NONE = ("This link leads nowhere", "<p>It may be mistyped, or it is no longer good. Ask whoever gave it to you for a new one.</p>")
INVITED = "{user} is invited. Open the app that you use: the invitation is waiting there."
ASKED = {WAITING: "A member was asked to let {user} in. The invitation will come to the app that you use."}
MAX_FORM = 4096


@dataclass(frozen=True, slots=True)
class Said:
    """What became of the form: the status of the page, a sentence, and what was entered if it is to be corrected."""

    status: int
    sentence: str
    entered: str = ""


@dataclass(frozen=True)
class LinkPages:
    """Pages of links."""

    redeeming: Redeeming
    name: ServerName
    picture: Picture

    @get("/join/{token}", limit="lookup")
    async def show(self, token: str) -> Response:
        """The room behind a link, and ways to open it."""
        return await self._shown(token)

    @post("/join/{token}", limit="link_page", max_body=MAX_FORM)
    async def request_invite(self, token: str, body: bytes) -> Response:
        """Have the user be invited who is named in the form: for people whose app does not know links."""
        named = query_values(body.decode("ascii", "replace")).get("user_id", [""])[0].strip()
        try:
            user = UserID.parse(named)
            status = await self.redeeming.request_invite(token, user)
        except Malformed:
            return await self._shown(token, Said(400, f"{named[:100]} is no Matrix ID. It looks like @name:server.", named))
        except LimitExceeded:
            return await self._shown(token, Said(429, "Many people have asked through this link just now. Please try again later.", named))
        except (Refused, Denied):
            # A link that is no good shows its own page; of a user who is banned nobody else is told.
            return await self._shown(token, Said(403, f"{user} could not be invited. Is this your Matrix ID?", named))
        return await self._shown(token, Said(200, ASKED.get(status, INVITED).format(user=user)))

    async def _shown(self, token: str, said: Said | None = None) -> Response:
        links = self.redeeming.links
        try:
            found = await links.database.read(landing.read, links, token)
        except NoSuchLink:
            # Who has used it up was told so that they can go on.
            return _nowhere() if said is None or said.status != 200 else _page(200, "Done", f"<h1>Done</h1>{_said(said)}")
        picture = await self.picture(found.avatar) if found.avatar else None
        title = found.name or "A room"
        content = _room(found, title, picture) + (_said(said) if said else "") + self._ways(found, token)
        return _page(said.status if said else 200, f"Join {title}", content + _form(said))

    def _ways(self, found: Landing, token: str) -> str:
        here, web = found.matrix_uri(self.name, token), found.matrix_to(self.name)
        return (
            f'<ul><li><a class="first" href="{escape(here, quote=True)}">Open in your Matrix app</a></li>'
            f'<li><a href="{escape(web, quote=True)}" rel="noopener noreferrer">Choose an app</a></li></ul>'
        )


def _room(found: Landing, title: str, picture: tuple[str, bytes] | None) -> str:
    if picture is None:
        initial = next((letter for letter in title if letter.isalnum()), "#").upper()
        shown = f'<div class="avatar" aria-hidden="true">{escape(initial)}</div>'
    else:
        kind, raw = picture
        shown = f'<img class="avatar" alt="" src="data:{escape(kind, quote=True)};base64,{b64encode(raw).decode()}">'
    people = "1 member" if found.members == 1 else f"{found.members} members"
    agreed = "<p>A member will be asked to let you in.</p>" if found.approval else ""
    topic = f'<p class="topic">{escape(found.topic)}</p>' if found.topic else ""
    return f'{shown}<p class="eyebrow">You are invited to</p><h1>{escape(title)}</h1><p class="about">{people}</p>{topic}{agreed}'


def _said(said: Said) -> str:
    wrong = "" if said.status == 200 else " wrong"
    return f'<p class="said{wrong}" role="status">{escape(said.sentence)}</p>'


def _form(said: Said | None) -> str:
    """Folded, for those who need it; open where something was wrong with it."""
    if said is not None and said.status == 200:
        return ""
    value, is_open = (escape(said.entered[:255], quote=True), " open") if said else ("", "")
    return (
        f"<details{is_open}><summary>Nothing happens in your app?</summary>"
        "<p>Say who you are, and an invitation will wait for you there.</p>"
        '<form method="post"><label for="user">Your Matrix ID</label>'
        f'<input id="user" name="user_id" value="{value}" placeholder="@name:server" required maxlength="255" inputmode="email"'
        ' autocapitalize="none" autocomplete="username" spellcheck="false"><button>Send me an invitation</button></form></details>'
    )


def _nowhere() -> Response:
    return _page(404, NONE[0], f'<div class="avatar" aria-hidden="true">?</div><h1>{NONE[0]}</h1>{NONE[1]}')


def _page(status: int, title: str, content: str) -> Response:
    html = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="robots" content="noindex"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><main>{content}</main></body></html>"
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": POLICY,
        "x-frame-options": "DENY",
        "x-robots-tag": "noindex",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return Response(status, headers, html.encode())
