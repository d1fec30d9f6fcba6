"""The page behind a join link, for a person with a browser: the room, and ways to open it.  Needs no script, loads nothing.

A link that is no good, for whatever reason, shows the page of one that never was.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from html import escape

from homeserver.events.identifiers import ServerName
from homeserver.membership.links import landing
from homeserver.membership.links.landing import Landing
from homeserver.membership.links.making import Links, NoSuchLink
from homeserver.web.routes import get
from homeserver.web.types import Response

Picture = Callable[[str], Awaitable[tuple[str, bytes] | None]]
"""A small picture of an `mxc:` URI: its type and bytes, or None if there can be none."""

STYLE = """
:root { color-scheme: light dark; --ink: #17191c; --soft: #5b6066; --paper: #ffffff; --ground: #eef1f4; --deep: #0b5c4a; --on: #ffffff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f4f6; --soft: #b3bac1; --paper: #1d2126; --ground: #101317; --deep: #7fe0c6; --on: #06231c }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.25rem; background: var(--ground); color: var(--ink);
  font: 1.0625rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 26rem; padding: 2rem 1.5rem; border-radius: 1.25rem; background: var(--paper); text-align: center;
  box-shadow: 0 .5rem 2rem rgb(0 0 0 / .12); overflow-wrap: anywhere }
.avatar { display: grid; place-items: center; width: 6rem; height: 6rem; margin: 0 auto 1rem; border-radius: 50%; background: var(--deep);
  color: var(--on); font-size: 2.5rem; font-weight: 600; object-fit: cover }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; line-height: 1.25 }
p { margin: 0 0 1rem; color: var(--soft) }
ul { list-style: none; margin: 1.5rem 0 0; padding: 0; display: grid; gap: .75rem }
a { display: block; min-height: 3rem; padding: .7rem 1rem; border-radius: .75rem; border: 2px solid var(--deep); color: var(--deep);
  font-weight: 600; text-decoration: none }
a.first { background: var(--deep); color: var(--on) }
a:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px }
"""
_DIGEST = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
NONE = ("This link leads nowhere", "<p>It may be mistyped, or it is no longer good. Ask whoever gave it to you for a new one.</p>")


@dataclass(frozen=True)
class LinkPages:
    """Pages of links."""

    links: Links
    name: ServerName
    picture: Picture

    @get("/join/{token}", limit="lookup")
    async def show(self, token: str) -> Response:
        """The room behind a link, and ways to open it."""
        try:
            found = await self.links.database.read(landing.read, self.links, token)
        except NoSuchLink:
            return _page(404, NONE[0], f"<h1>{NONE[0]}</h1>{NONE[1]}")
        picture = await self.picture(found.avatar) if found.avatar else None
        title = found.name or "A room"
        return _page(200, f"Join {title}", _room(found, title, picture) + self._ways(found, token))

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
    people = "1 person is" if found.members == 1 else f"{found.members} people are"
    agreed = "<p>A member will be asked to let you in.</p>" if found.approval else ""
    topic = f"<p>{escape(found.topic)}</p>" if found.topic else ""
    return f"{shown}<h1>{escape(title)}</h1><p>You are invited. {people} in this room.</p>{topic}{agreed}"


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
