"""A headless Chromium, spoken to over its DevTools protocol, with what a page is judged by.  Knows no Matrix.

The browser is the system's, or comes from the system's packages where this may install them; HOMESERVER_TEST_BROWSER names another one.
axe-core, which judges accessibility, comes from npm, once, into the cache folder of the user.
"""

import asyncio
import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

AXE = "4.10.3"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb"),
    "--remote-debugging-port=0",
)
PATIENCE = 60.0
MAKING = 900.0  # seconds for slow packages
QUIET = 0.3  # seconds without a request: all is there


def program() -> str:
    """The browser, installed if need be; skips where there is none to be had."""
    given = os.environ.get("HOMESERVER_TEST_BROWSER")
    found = given or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        with _locked("browser"):
            for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"]):
                subprocess.run(
                    command, capture_output=True, timeout=MAKING, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
                )
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium here, and none could be installed: HOMESERVER_TEST_BROWSER may name one")
    return found


def axe() -> str:
    """The script that judges accessibility, fetched if need be; skips where it cannot be had."""
    folder = _cache() / f"axe-core-{AXE}"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    with _locked("axe"):
        if not script.exists():
            if shutil.which("npm") is None:
                pytest.skip("axe-core, which judges accessibility, needs npm")
            command = ["npm", "install", "--silent", "--no-save", "--prefix", str(folder), f"axe-core@{AXE}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=MAKING, check=False)
            if not script.exists():
                pytest.skip(f"axe-core, which judges accessibility, cannot be fetched: {done.stderr[-500:]}")
    return script.read_text()


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homeserver-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _locked:
    """Several processes run these tests: one of them fetches."""

    def __init__(self, what: str) -> None:
        self.file = open(_cache() / f"{what}.lock", "w")  # noqa: SIM115

    def __enter__(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


@dataclass(frozen=True)
class Viewport:
    """A screen."""

    width: int
    height: int
    mobile: bool = False
    scheme: str = "light"


@dataclass
class Tab:
    """A page that is shown, all that it asked for, and all that the browser said against it."""

    socket: ClientWebSocketResponse
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What stands in the console, violations of the page's policy among it."""
    _number: int = 0
    _heard: float = 0.0

    async def call(self, method: str, **params: Any) -> Any:
        """What the browser answers to a command."""
        self._number += 1
        number = self._number
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = await asyncio.wait_for(self.socket.receive_json(), PATIENCE)
            if told.get("id") == number:
                assert "error" not in told, (method, told)
                return told["result"]
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        about = told.get("params", {})
        if told.get("method") == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
            self._heard = time.monotonic()
        elif told.get("method") == "Log.entryAdded":
            self.complaints.append(f"{about['entry']['source']}: {about['entry']['text']}")
        elif told.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(str(about["args"]))
        elif told.get("method") == "Audits.issueAdded" and about["issue"]["code"] == "ContentSecurityPolicyIssue":
            self.complaints.append(json.dumps(about["issue"]["details"]))
        elif told.get("method") in ("Page.javascriptDialogOpening", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(about))

    async def opens(self, url: str, viewport: Viewport, scripts: bool = True) -> None:
        """Show a page, until nothing more is asked for."""
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            await self.call(f"{domain}.enable")
        size = {"width": viewport.width, "height": viewport.height, "deviceScaleFactor": 1, "mobile": viewport.mobile}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": viewport.scheme}])
        await self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        await self.call("Page.navigate", url=url)
        await self.settles()

    async def settles(self) -> None:
        """Wait until nothing was asked for during a while, and the page is there."""
        self._heard = began = time.monotonic()
        while time.monotonic() < self._heard + QUIET or not (await self.call("DOM.getDocument"))["root"].get("childNodeCount"):
            assert time.monotonic() < began + PATIENCE
            await asyncio.sleep(0.05)

    async def says(self, expression: str) -> Any:
        """The value of an expression of the browser's own, which the page's policy does not bind."""
        found = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def fills_in(self, selector: str, text: str) -> None:
        """Type into a field, as a person does, scripts or not, and press Enter."""
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.focus", nodeId=node)
        await self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" if kind == "keyDown" else ""}
            await self.call("Input.dispatchKeyEvent", type=kind, **enter)
        await self.settles()

    async def clicks(self, selector: str) -> None:
        """Click in the middle of something, as a person does, scripts or not."""
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.scrollIntoViewIfNeeded", nodeId=node)
        corners = (await self.call("DOM.getBoxModel", nodeId=node))["model"]["content"]
        where = {"x": sum(corners[0::2]) / 4, "y": sum(corners[1::2]) / 4, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, **where)
        await self.settles()

    async def html(self) -> str:
        """The page as it stands, scripts or not."""
        root = (await self.call("DOM.getDocument", depth=-1))["root"]
        return str((await self.call("DOM.getOuterHTML", nodeId=root["nodeId"]))["outerHTML"])

    async def violations(self, script: str) -> list[str]:
        """What axe-core finds wrong, contrast included, with the rules of WCAG 2.2 AA and good practice."""
        await self.says(script + ";0")
        found = await self.says("axe.run({resultTypes: ['violations']}).then(found => JSON.stringify(found))")
        results = json.loads(found)
        assert any(one["id"] == "color-contrast" for one in results["passes"]), "contrast was not looked at"
        return [f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}" for one in results["violations"]]

    async def picture(self) -> bytes:
        """What is seen of it, as PNG."""
        shown = await self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        return base64.b64decode(shown["data"])


@asynccontextmanager
async def tab(folder: Path) -> AsyncIterator[Tab]:
    """An empty tab of a browser of its own, which ends with it."""
    running = _started(folder)
    try:
        port = await asyncio.to_thread(_port, folder / "DevToolsActivePort")
        async with ClientSession(trust_env=False) as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        running.kill()
        running.wait()


def _started(folder: Path) -> "subprocess.Popen[bytes]":
    command = [program(), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _port(file: Path) -> int:
    began = time.monotonic()
    while not file.exists() or not file.read_text().strip():
        assert time.monotonic() < began + PATIENCE, "Chromium does not start"
        time.sleep(0.05)
    return int(file.read_text().split()[0])
