"""The data folder of a server: made once, with a small YAML file and a signing key.  Overwrites nothing."""

from pathlib import Path

from homeserver.events.identifiers import ServerName
from homeserver.identity import generate_key, write_key

SETTINGS_FILE, KEY_FILE = "homeserver.yaml", "signing.key"


def settings_text(name: ServerName, port: int = 8008) -> str:
    """The six lines a server starts with."""
    local = name.host == "localhost" or name.is_ip_literal
    url = f"http://{name.host}:{port}" if local else f"https://{name}"
    return (
        "# Settings of this homeserver; all others, with their defaults: config/full.yaml\n"
        f"server_name: {name}\n"
        f"public_baseurl: {url}\n"
        "data_dir: .\n"
        f"listeners: [{{host: 127.0.0.1, port: {port}}}]\n"
        "registration: {mode: token}\n"
    )


def create(folder: Path, name: ServerName, port: int = 8008) -> Path:
    """Make what `folder` lacks; returns the path of the YAML file.  Raises `FileExistsError` when it is there already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / SETTINGS_FILE
    with file.open("x") as settings:
        settings.write(settings_text(name, port))
    file.chmod(0o600)
    if not (folder / KEY_FILE).exists():
        write_key(folder / KEY_FILE, generate_key())
    return file
