"""The command line, as processes: what a person does on the first day."""

import json
import signal
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import certificates
from tests.ports import free_port

pytestmark = pytest.mark.slow

PATIENCE = 60.0


def homeserver(*args: str | Path, **rest: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    command = [sys.executable, "-m", "homeserver", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, **rest)


def good(*args: str | Path, **rest: Any) -> str:
    """What a command that must succeed prints."""
    done = homeserver(*args, **rest)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def running(*args: str | Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server that runs, and what it printed until it was ready."""
    command = [sys.executable, "-m", "homeserver", *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "listens on" in line or "workers" in line or line.startswith("    - Settings:"):
                break
        yield process, "".join(lines)
    finally:
        process.kill()
        process.wait()


def ask(port: int, path: str, body: Any = None) -> Any:
    """The JSON of an answer over HTTP."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data), timeout=20) as answer:
        return json.load(answer)


def test_the_first_day(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    with running("start", data, "--port", str(port)) as (process, told):
        assert f"http://localhost:{port}" in told
        token = next(line.split()[-1] for line in told.splitlines() if "Registration token" in line)
        assert ask(port, "/health") == {"status": "ok"}
        assert ask(port, f"/_matrix/client/v1/register/m.login.registration_token/validity?token={token}") == {"valid": True}
        # Commands reach the running server.
        assert good("user", "add", "alice", "--admin", "--config", data, input="a long password\n") == "Made @alice:localhost"
        assert "already taken" in homeserver("user", "add", "alice", "--password", "x" * 9, "--config", data).stderr
        assert ask(port, "/_matrix/client/v3/login", _login("alice", "a long password"))["user_id"] == "@alice:localhost"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert stat.S_IMODE((data / "signing.key").stat().st_mode) == 0o600
    # And they work while it is stopped.
    assert good("user", "password", "alice", "--password", "another password", "--config", data).startswith("@alice:localhost has")
    assert good("token", "list", "--config", data).startswith(token)
    assert good("token", "revoke", token, "--config", data) == "Revoked"
    made = good("token", "new", "--uses", "3", "--expires", "7d", "--config", data)
    assert f"{made}  0 of 3 accounts made, until " in good("token", "list", "--config", data)
    # The second start finds what the first one made.
    with running("run", data / "homeserver.yaml"):
        assert ask(port, "/_matrix/client/v3/login", _login("alice", "another password"))["user_id"] == "@alice:localhost"


def _login(name: str, password: str) -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": password}


def test_init_and_check(tmp_path: Path) -> None:
    data, file = tmp_path / "hs", tmp_path / "hs" / "homeserver.yaml"
    assert "homeserver run" in good("init", data, "--server-name", "example.org")
    assert len(file.read_text().splitlines()) == 6
    before = (data / "signing.key").read_text()
    assert "example.org" in good("check-config", file)
    (data / "custody.key").write_bytes(b"too short")
    wrong = homeserver("check-config", file)
    assert wrong.returncode == 1 and wrong.stderr.strip().endswith("custody.key: expected 32 bytes")
    (data / "custody.key").unlink()
    again = homeserver("init", data, "--server-name", "other.org")
    assert again.returncode == 1 and "exists already" in again.stderr and (data / "signing.key").read_text() == before
    file.write_text(file.read_text() + "worker: 2\n")
    wrong = homeserver("check-config", file)
    assert wrong.returncode == 1 and wrong.stderr.strip() == f"{file}, line 7: worker: is not a setting; did you mean workers?"
    assert good("version")


def test_what_prevents_a_start_is_a_sentence(tmp_path: Path) -> None:
    port = free_port()
    with running("start", tmp_path / "a", "--port", str(port)):
        for other in ("a", "b"):
            refused = homeserver("start", tmp_path / other, "--port", str(port))
            assert refused.returncode == 1 and "Traceback" not in refused.stderr, refused.stderr


def test_listeners_plain_and_with_tls_offer_what_they_are_told(tmp_path: Path) -> None:
    good("init", tmp_path, "--server-name", "localhost")
    file, plain, secure = tmp_path / "homeserver.yaml", free_port(), free_port()
    certificates.write(tmp_path, "localhost")
    tls = f"- {{port: {secure}, tls_certificate: certificate.pem, tls_key: key.pem, resources: [federation, metrics]}}"
    listeners = f"listeners:\n- {{port: {plain}, resources: [client]}}\n{tls}"
    file.write_text("\n".join(listeners if line.startswith("listeners") else line for line in file.read_text().splitlines()))
    with running("run", file):
        assert ask(plain, "/_matrix/client/versions") and status(f"http://127.0.0.1:{plain}/_matrix/key/v2/server") == 404
        assert status(f"https://localhost:{secure}/_matrix/key/v2/server") == 200
        assert status(f"https://localhost:{secure}/_homeserver/metrics") == 200
        assert status(f"https://localhost:{secure}/_matrix/client/versions") == 404
        assert status(f"https://localhost:{secure}/health") == 200
    file.write_text(file.read_text().replace("key.pem", "certificate.pem"))
    for command in ("run", "check-config"):
        wrong = homeserver(command, file)
        assert wrong.returncode == 1 and "cannot be used for TLS" in wrong.stderr and "Traceback" not in wrong.stderr, wrong.stderr


def status(url: str) -> int:
    """The status of an answer, whatever its certificate."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=20, context=trusting) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
