"""A real Synapse, the homeserver most rooms live on, in an environment of its own.

The environment is made once per version, in the cache folder of the user.  HOMESERVER_TEST_SYNAPSE names an environment to use instead.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.certificates import Authority
from tests.ports import free_port
from tests.real.processes import PATIENCE, Program

VERSION = "1.163.2"
MAKING = 900.0  # seconds for a slow index

UNLIMITED = {"per_second": 1_000_000, "burst_count": 1_000_000}


def environment() -> Path:
    """The Python program of an environment with Synapse, made if need be."""
    given = os.environ.get("HOMESERVER_TEST_SYNAPSE")
    if given:
        return Path(given) / "bin" / "python"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homeserver-tests"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"synapse-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    with open(f"{folder}.lock", "w") as lock:  # several processes run these tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder)
    return folder / "bin" / "python"


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    _must([sys.executable, "-m", "venv", "--without-pip", str(folder)], "An environment for Synapse cannot be made")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check", "--only-binary=:all:"]
    _must([*install, f"matrix-synapse=={VERSION}"], "These tests need Synapse from the Python package index, and it cannot be installed")
    (folder / "complete").touch()


def _must(command: list[str], sentence: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAKING, check=False)
    if done.returncode:
        raise AssertionError(f"{sentence} (HOMESERVER_TEST_SYNAPSE may name an environment that has it):\n{done.stderr[-2000:]}")


@contextmanager
def synapse(folder: Path, authority: Authority) -> Iterator[Program]:
    """A Synapse on free ports, running, until the tests are over."""
    python, plain, secure = environment(), free_port(), free_port()
    authority.write(folder / "authority.pem")
    authority.issue(folder, "localhost", "127.0.0.1")
    name, file = f"localhost:{secure}", folder / "homeserver.yaml"
    file.write_text(json.dumps(_settings(folder, name, plain, secure)))
    (folder / "log.yaml").write_text(json.dumps(_logging(folder)))
    command = [str(python), "-m", "synapse.app.homeserver", "-c", str(file)]
    made = subprocess.run([*command, "--generate-keys"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert made.returncode == 0, made.stderr
    program = Program(name, f"http://127.0.0.1:{plain}", command, folder, folder / "log", str(folder / "synapse.db"))
    try:
        program.start()
        yield program
    finally:
        program.kill()


def _settings(folder: Path, name: str, plain: int, secure: int) -> dict[str, Any]:
    def listener(port: int, *names: str, tls: bool) -> dict[str, Any]:
        return {"port": port, "tls": tls, "type": "http", "bind_addresses": ["127.0.0.1"], "resources": [{"names": list(names)}]}

    return {
        "server_name": name,
        "listeners": [listener(plain, "client", tls=False), listener(secure, "client", "federation", tls=True)],
        "tls_certificate_path": str(folder / "certificate.pem"),
        "tls_private_key_path": str(folder / "key.pem"),
        "federation_custom_ca_list": [str(folder / "authority.pem")],
        "federation_ip_range_blacklist": [],
        "ip_range_blacklist": [],
        "trusted_key_servers": [],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "synapse.db")}},
        "log_config": str(folder / "log.yaml"),
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "pid_file": str(folder / "pid"),
        "report_stats": False,
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "macaroon_secret_key": "m",
        "form_secret": "f",
        "allow_public_rooms_over_federation": True,
        "room_list_publication_rules": [{"user_id": "*", "room_id": "*", "alias": "*", "action": "allow"}],
        # A server that was stopped is tried again within seconds.
        "federation": {
            "client_timeout": "20s",
            "max_short_retry_delay": "1s",
            "max_long_retry_delay": "1s",
            "destination_min_retry_interval": "1s",
            "destination_max_retry_interval": "1s",
            "destination_retry_multiplier": 1,
        },
        **_limits(),
    }


def _limits() -> dict[str, Any]:
    return {
        "rc_message": UNLIMITED,
        "rc_registration": UNLIMITED,
        "rc_room_creation": UNLIMITED,
        "rc_media_create": UNLIMITED,
        "rc_login": {"address": UNLIMITED, "account": UNLIMITED, "failed_attempts": UNLIMITED},
        "rc_joins": {"local": UNLIMITED, "remote": UNLIMITED},
        "rc_joins_per_room": UNLIMITED,
        "rc_invites": {"per_room": UNLIMITED, "per_user": UNLIMITED, "per_issuer": UNLIMITED},
        "rc_key_requests": UNLIMITED,
        "rc_federation": {"window_size": 1000, "sleep_limit": 1_000_000, "sleep_delay": 1, "reject_limit": 1_000_000, "concurrent": 50},
    }


def _logging(folder: Path) -> dict[str, Any]:
    file = {"file": {"class": "logging.FileHandler", "filename": str(folder / "log")}}
    return {"version": 1, "handlers": file, "root": {"level": "INFO", "handlers": ["file"]}, "disable_existing_loggers": False}
