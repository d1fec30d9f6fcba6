"""The page of a join link in a real browser: with and without scripts, on a phone and on a desk, by day and by night.

HOMESERVER_PICTURES=1 writes the pictures of docs/flows/images anew.
"""

import asyncio
import os
from collections.abc import Coroutine
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.real import browser
from tests.real.browser import Tab, Viewport, tab
from tests.real.people import Person, ask
from tests.real.processes import Program
from tests.real.sides import person

IMAGES = Path(__file__).parents[2] / "docs" / "flows" / "images"
MAX_IMAGE = 100 * 1024
CLIENT = "/_matrix/client/unstable/org.homeserver"
PHONE, DESK = Viewport(390, 780, mobile=True), Viewport(1000, 720)
NIGHTLY = {"phone": Viewport(390, 780, True, "dark"), "desk": Viewport(1000, 720, False, "dark")}
SCREENS = {"phone-light": PHONE, "phone-dark": NIGHTLY["phone"], "desktop-light": DESK, "desktop-dark": NIGHTLY["desk"]}
# What a page of ours may be asked for by nobody but its visitor.
OURS = ("http://127.0.0.1:", "data:")
HOSTILE = (
    "</title><script>console.log('title')</script>",
    "\"'><img src=http://evil.invalid/x onerror=console.log('topic')><svg/onload=console.log(1)><style>*{display:none}</style>",
)


def garden() -> bytes:
    """A picture of a room."""
    image = Image.new("RGB", (192, 192), "#0e7a5f")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 128, 192, 192), fill="#0a4d3c")
    for x, y, radius, color in ((60, 92, 34, "#f9d5e5"), (124, 76, 40, "#f6a6c1"), (100, 122, 30, "#fff1b8")):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill="#f2c14e")
    written = BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def room(alice: Person, name: str, topic: str, avatar: str = "") -> str:
    state = [{"type": "m.room.avatar", "state_key": "", "content": {"url": avatar}}] if avatar else []
    return alice.creates(preset="private_chat", name=name, topic=topic, initial_state=state)


def link(alice: Person, where: str, **wanted: Any) -> str:
    """The address of the page of a new link."""
    made = alice.must("POST", f"{CLIENT}/rooms/{where}/links", {"approval": False, "key_custody": False, **wanted})
    return f"{alice.url}/join/{made['token']}"


def browsing(work: Coroutine[Any, Any, None]) -> None:
    """A story in a browser, which may take its time."""
    asyncio.run(asyncio.wait_for(work, 300))


def assert_clean(page: Tab) -> None:
    """Nobody else was asked for anything, and the browser has nothing to say against the page."""
    assert page.requests and all(url.startswith(OURS) for url in page.requests), page.requests
    assert page.complaints == []


@pytest.fixture(scope="module")
def garden_link(ours: Program) -> str:
    """The page of a room with all that a room can show."""
    alice = person(ours, "alice")
    uri = alice.must("POST", "/_matrix/media/v3/upload", garden())["content_uri"]
    where = room(alice, "The Rose Garden", "Pruning, planting and the quiet joy of compost. Everybody with muddy boots is welcome.", uri)
    for name in ("bob", "carol"):
        guest = person(ours, name)
        alice.invites(guest, where)
        guest.joins(where)
    return link(alice, where)


@pytest.mark.parametrize("screen", SCREENS)
def test_it_is_accessible_and_asks_nobody_for_anything(garden_link: str, screen: str, tmp_path: Path) -> None:
    async def story() -> None:
        script = browser.axe()
        async with tab(tmp_path) as page:
            await page.opens(garden_link, SCREENS[screen])
            assert await page.says("document.querySelector('h1').textContent") == "The Rose Garden"
            assert await page.says("document.querySelector('img').naturalWidth") > 0
            assert await page.says("document.documentElement.scrollWidth") <= SCREENS[screen].width, "nothing sticks out"
            assert await page.says("Math.min(...[...document.querySelectorAll('a')].map(one => one.offsetHeight))") >= 44, "for thumbs"
            assert_clean(page)
            await shot(page, f"join-{screen}", tmp_path)
            assert await page.violations(script) == []
            await page.clicks("summary")
            assert await page.says("document.querySelector('input').checkVisibility()")
            assert await page.violations(script) == []
            if screen == "phone-light":
                await shot(page, "join-form", tmp_path)

    browsing(story())


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_who_has_an_ordinary_app_is_invited_through_the_form(ours: Program, scripts: bool, tmp_path: Path) -> None:
    alice, bob = person(ours, "alice"), person(ours, "bob")
    where = room(alice, "The Rose Garden", "")
    url = link(alice, where)

    async def story() -> None:
        async with tab(tmp_path) as page:
            await page.opens(url, PHONE, scripts)
            await page.clicks("summary")
            await page.fills_in("input", "bob")
            assert "bob is no Matrix ID" in await page.html()
            assert page.complaints in ([], ["network: Failed to load resource: the server responded with a status of 400 (Bad Request)"])
            page.complaints.clear()
            await page.opens(url, PHONE, scripts)
            await page.clicks("summary")
            await page.fills_in("input", bob.user_id)
            assert f"{bob.user_id} is invited" in await page.html()
            assert_clean(page)
            if scripts:
                assert await page.violations(browser.axe()) == []
                await shot(page, "join-invited", tmp_path)

    browsing(story())
    bob.awaits_membership(where, "invite")
    bob.joins(where)
    assert alice.members(where)[bob.user_id] == "join"


def test_a_link_that_leads_nowhere_says_so(ours: Program, tmp_path: Path) -> None:
    async def story() -> None:
        script = browser.axe()
        async with tab(tmp_path) as page:
            await page.opens(f"{ours.url}/join/{'x' * 32}", PHONE)
            assert "leads nowhere" in await page.html()
            await shot(page, "join-nowhere", tmp_path)
            assert await page.violations(script) == []

    browsing(story())


def test_a_hostile_room_can_do_nothing(ours: Program, tmp_path: Path) -> None:
    alice = person(ours, "alice")
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='console.log(2)'><script>console.log(3)</script></svg>"
    uri = alice.must("POST", "/_matrix/media/v3/upload", svg)["content_uri"]
    url = link(alice, room(alice, *HOSTILE, uri))

    async def story() -> None:
        async with tab(tmp_path) as page:
            await page.opens(url, PHONE)
            assert await page.says("document.querySelector('h1').textContent") == HOSTILE[0]
            assert await page.says("document.querySelectorAll('script, svg, img, iframe, object, embed, link').length") == 0
            assert_clean(page)

    browsing(story())


def test_the_policy_is_in_force(garden_link: str, tmp_path: Path) -> None:
    """The watcher of these tests is awake: what the page is not to do, it cannot, and that is heard."""
    inject = 'document.body.insertAdjacentHTML(\'beforeend\', \'<img src="http://evil.invalid/x"><b style="color:red" onclick="0">b</b>\')'

    async def story() -> None:
        async with tab(tmp_path) as page:
            await page.opens(garden_link, PHONE)
            await page.says(inject)
            await page.settles()
            said = " ".join(page.complaints)
            assert "evil.invalid" in said and "style" in said
            assert not [url for url in page.requests if "evil" in url and not url.startswith(OURS)] or "img-src" in said

    browsing(story())


def test_headers_forbid_what_is_not_needed(garden_link: str) -> None:
    base, _, path = garden_link.partition("/join/")
    headers = ask(base, "GET", f"/join/{path}").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy.pop("style-src").startswith("'sha256-")
    none = dict.fromkeys(("default-src", "base-uri", "frame-ancestors"), "'none'")
    assert policy == {**none, "img-src": "data:", "form-action": "'self'"}
    assert headers["referrer-policy"] == "no-referrer" and headers["cache-control"] == "no-store"


async def shot(page: Tab, name: str, folder: Path) -> None:
    """A picture of the page, small enough to be read with the documents, which are given it if that is asked for."""
    file = folder / f"{name}.png"
    Image.open(BytesIO(await page.picture())).convert("RGB").quantize(255, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size < MAX_IMAGE
    if os.environ.get("HOMESERVER_PICTURES"):
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / file.name).write_bytes(file.read_bytes())
