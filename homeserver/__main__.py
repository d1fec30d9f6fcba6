"""The command line.  Says what there is to do and prints what came of it; does nothing itself."""

# First: see there.
from homeserver.eventloop import reactor

# isort: split

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homeserver import __version__, folder, reference
from homeserver.clock import Clock
from homeserver.commanding import CommandFailed, command
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName
from homeserver.identity import BadKeyFile, read_identity
from homeserver.membership.links.custody import Custody
from homeserver.running import CannotStart, begin_log, run
from homeserver.server import Server
from homeserver.settings import BadSettings, Settings, load
from homeserver.units import Duration
from homeserver.web.listening import BadCertificate, Certificate
from homeserver.web.sharing import Shared, Tally
from homeserver.workers import Share, Workers

Args = argparse.Namespace

NEXT_STEPS = """
  {name} is running.  Ctrl-C stops it, the same command starts it again.

  Client URL           {url}
  Registration token   {token}

  What to do next
    - Open a Matrix client (Element, Cinny, FluffyChat, ...), choose {url} as homeserver,
      "create account", and give the token when you are asked for it.
    - Or make an account here, as administrator:  {program} user add NAME --admin --config {file}
    - For friends, one token each:                {program} token new --config {file}
    - Settings: {file}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    os.umask(0o077)
    args = _parser().parse_args(argv)
    try:
        act: Callable[[Args], None] = args.act
        act(args)
    except (BadSettings, BadKeyFile, BadCertificate, CannotStart, CommandFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="homeserver", description="A Matrix homeserver.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = _command(commands, "start", _start, "make the folder if there is none, and run: the shortest way to a server")
    start.add_argument("folder", type=Path, metavar="DIR")
    init = _command(commands, "init", _init, "make a data folder with settings and keys")
    init.add_argument("folder", type=Path, metavar="DIR")
    for one, default in ((start, "localhost"), (init, None)):
        one.add_argument("--server-name", type=_server_name, default=default, required=default is None, metavar="NAME")
        one.add_argument("--port", type=int, default=8008)
    worker = _command(commands, "worker", _worker, "one of several processes of a server; `run` starts these")
    worker.add_argument("file", type=Path)
    worker.add_argument("number", type=int)
    worker.add_argument("parent", type=int)
    worker.add_argument("tally", type=int)
    worker.add_argument("sockets", type=int, nargs="*")
    for name, act, words in (("run", _run, "run a server"), ("check-config", _check, "say what is wrong with a settings file")):
        _command(commands, name, act, words).add_argument("file", type=Path, metavar="FILE")
    _command(commands, "version", lambda _: print(__version__), "print the version")
    _reference_command(commands)
    _user_commands(commands)
    _token_commands(commands)
    return parser


def _command(commands: Any, name: str, act: Callable[[Args], None], words: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=words, description=words)
    parser.set_defaults(act=act)
    return parser


def _reference_command(commands: Any) -> None:
    one = _command(commands, "reference", _reference, "write the generated documents into a checkout")
    one.add_argument("checkout", type=Path, metavar="DIR")


def _user_commands(commands: Any) -> None:
    users = commands.add_parser("user", help="accounts").add_subparsers(required=True, metavar="COMMAND")
    add = _command(users, "add", _user_add, "make an account")
    add.add_argument("--admin", action="store_true", help="an administrator")
    admin = _command(users, "admin", _user_admin, "make somebody an administrator")
    admin.add_argument("--revoke", action="store_true", help="end it")
    password = _command(users, "password", _user_password, "give somebody a new password, and end their sessions")
    for one in (add, password):
        one.add_argument("--password", help="by default it is asked for, or read from standard input")
    for one in (add, admin, password):
        one.add_argument("name", metavar="NAME")
        _config(one)


def _token_commands(commands: Any) -> None:
    tokens = commands.add_parser("token", help="registration tokens").add_subparsers(required=True, metavar="COMMAND")
    new = _command(tokens, "new", _token_new, "make a registration token")
    new.add_argument("--uses", type=int, default=1, help="accounts it is good for; 0: any number")
    new.add_argument("--expires", type=_duration, metavar="7d")
    new.add_argument("--token", help="a word of your own")
    listing = _command(tokens, "list", _token_list, "list the registration tokens")
    revoke = _command(tokens, "revoke", _token_revoke, "end a registration token")
    revoke.add_argument("token")
    for one in (new, listing, revoke):
        _config(one)


def _config(parser: argparse.ArgumentParser) -> None:
    words = "settings file or data folder; by default homeserver.yaml or data/homeserver.yaml"
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help=words)


def _server_name(text: str) -> ServerName:
    try:
        return ServerName.parse(text)
    except Malformed as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _duration(text: str) -> Duration:
    try:
        return Duration.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {Duration.EXPECTS}") from None


def _settings(args: Args) -> Settings:
    given: Path | None = args.config
    if given is None:
        choices = (Path(folder.SETTINGS_FILE), Path("data") / folder.SETTINGS_FILE)
        given = next((path for path in choices if path.exists()), choices[0])
    return load(given / folder.SETTINGS_FILE if given.is_dir() else given)


def _init(args: Args) -> None:
    try:
        file = folder.create(args.folder, args.server_name, args.port)
    except FileExistsError as error:
        raise CannotStart(f"{error.filename} exists already; nothing was changed") from None
    print(f"Made {file} and the signing key.  Start the server with: homeserver run {file}")


def _start(args: Args) -> None:
    file = args.folder / folder.SETTINGS_FILE
    if not file.exists():
        folder.create(args.folder, args.server_name, args.port)
    settings = load(file)

    async def greet(server: Server, urls: list[str]) -> None:
        token = await _first_token(server) if settings.registration.mode == "token" else None
        words = token or "the first account is made: `token new` makes further ones"
        program = sys.argv[0] if sys.argv[0].endswith("homeserver") else "homeserver"
        print(NEXT_STEPS.format(name=settings.server_name, url=settings.client_url, token=words, program=program, file=file), flush=True)

    begin_log(settings)
    if settings.workers > 1:
        _run_workers(file, settings)
    else:
        run(reactor, settings, greet)


async def _first_token(server: Server) -> str | None:
    answer = await server.operator.first_token()
    token: str | None = answer["token"]
    return token


def _run(args: Args) -> None:
    settings = load(args.file)

    async def listening(server: Server, urls: list[str]) -> None:
        print(f"{settings.server_name} listens on {', '.join(urls)}", flush=True)

    begin_log(settings)
    if settings.workers > 1:
        _run_workers(args.file, settings)
    else:
        run(reactor, settings, listening)


def _run_workers(file: Path, settings: Settings) -> None:
    try:
        print(f"{settings.server_name} starts {settings.workers} workers", flush=True)
        Workers(file, settings).run()
    except OSError as error:
        raise CannotStart(f"The workers cannot start: {error}") from None


def _worker(args: Args) -> None:
    settings = load(args.file)

    async def listening(server: Server, urls: list[str]) -> None:
        """The log says it."""

    begin_log(settings)
    tally = Tally(args.tally, args.number)
    run(reactor, settings, listening, Share(args.number, args.parent, tuple(Shared(opened, tally) for opened in args.sockets)))


def _check(args: Args) -> None:
    settings = load(args.file)
    identity = read_identity(settings.server_name, settings.signing_key_file)
    Custody(settings.custody_key_file).check()
    for listener in settings.listeners:
        if listener.tls_certificate is not None and listener.tls_key is not None:
            Certificate(listener.tls_certificate, listener.tls_key, Clock(reactor))
    print(f"{args.file} is right: {settings.server_name}, signs with {identity.key.id}")


def _reference(args: Args) -> None:
    reference.write(args.checkout)


def _password(args: Args) -> str:
    if args.password is not None:
        return str(args.password)
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise CommandFailed("The passwords differ")
    return password


def _ask(args: Args, method: str, parts: tuple[str, ...], body: dict[str, Any] | None = None) -> dict[str, Any]:
    return command(reactor, _settings(args), method, parts, body)


def _user_add(args: Args) -> None:
    wanted = {"username": args.name, "password": _password(args), "admin": args.admin}
    print(f"Made {_ask(args, 'POST', ('users',), wanted)['user_id']}")


def _user_password(args: Args) -> None:
    answer = _ask(args, "PUT", ("users", args.name, "password"), {"password": _password(args)})
    print(f"{answer['user_id']} has a new password; all sessions are ended")


def _user_admin(args: Args) -> None:
    answer = _ask(args, "PUT", ("users", args.name, "admin"), {"admin": not args.revoke})
    print(f"{answer['user_id']} is {'an' if answer['admin'] else 'no'} administrator")


def _token_new(args: Args) -> None:
    wanted = {"uses": args.uses or None, "token": args.token, "expires_in_ms": args.expires}
    print(_ask(args, "POST", ("tokens",), wanted)["token"])


def _token_list(args: Args) -> None:
    for token in _ask(args, "GET", ("tokens",))["tokens"]:
        allowed = "any number of" if token["uses_allowed"] is None else token["uses_allowed"]
        until = "" if token["expires_ts"] is None else f", until {_time(token['expires_ts'])}"
        print(f"{token['token']}  {token['completed']} of {allowed} accounts made{until}")


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _token_revoke(args: Args) -> None:
    _ask(args, "DELETE", ("tokens", args.token))
    print("Revoked")


if __name__ == "__main__":
    sys.exit(main())
