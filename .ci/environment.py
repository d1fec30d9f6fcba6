#!/usr/bin/env python3
"""Makes .venv with this project in it; does nothing when it is there and up to date.  Needs only Python and the network.

usage: environment.py [EXTRA...]    the extras of setup.cfg to install, e.g. test lint
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
OLDEST = (3, 11)
NAMES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
GET_PIP = "https://bootstrap.pypa.io/get-pip.py"


def main(extras: list[str]) -> None:
    """Make the environment."""
    if sys.version_info < OLDEST:
        again_with_a_newer_one()
    wanted = sorted(extras)
    have = STAMP.read_text().split("\n") if STAMP.exists() else ["", ""]
    wanted = sorted({*wanted, *filter(None, have[1].split(","))})
    state = "\n".join((fingerprint(), ",".join(wanted)))
    if "\n".join(have) == state and PYTHON.exists():
        return
    print("Making the environment in .venv (a minute or two the first time) ...", file=sys.stderr, flush=True)
    if not usable():
        create()
    project = str(ROOT) + (f"[{','.join(wanted)}]" if wanted else "")
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", project], check=True)
    STAMP.write_text(state)


def again_with_a_newer_one() -> None:
    """Run this again with a Python that is new enough, if there is one."""
    for name in NAMES[1:]:
        found = shutil.which(name)
        if found:
            os.execv(found, [found, *sys.argv])
    sys.exit(f"Python {'.'.join(map(str, OLDEST))} or newer is needed, this is {sys.version.split()[0]}")


def fingerprint() -> str:
    """What the environment depends on."""
    files = b"".join((ROOT / name).read_bytes() for name in ("setup.cfg", "pyproject.toml"))
    return hashlib.sha256(files + str(ROOT).encode() + sys.version.encode()).hexdigest()


def usable() -> bool:
    """Whether there is an environment with pip."""
    return PYTHON.exists() and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0


def create() -> None:
    """Make an empty environment.  Some distributions leave out what venv needs for pip: then pip is fetched."""
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True).returncode == 0 and usable():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", VENV], check=True)
    with tempfile.NamedTemporaryFile(suffix=".py") as script:
        with urllib.request.urlopen(GET_PIP, timeout=60) as answer:
            script.write(answer.read())
        script.flush()
        subprocess.run([PYTHON, script.name, "-q", "--disable-pip-version-check"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
