"""The configuration as dataclasses: every setting, its default and what it is for.  Reads nothing but the one file it is given.

The text under a field is its documentation: `config/full.yaml` and `docs/settings.md` are made from it.
"""

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from homeserver import typed_yaml
from homeserver.events.identifiers import ServerName
from homeserver.events.versions import VERSIONS
from homeserver.rates import DEFAULT_RATES, RateLimits
from homeserver.typed_yaml import BadSettings, WrongField
from homeserver.units import Duration, Rate, Secret, Size

__all__ = ["DEFAULT_RATES", "BadSettings", "Duration", "Rate", "RateLimits", "Secret", "Settings", "Size", "load"]


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where everything is kept."""

    sqlite: Path | None = None
    """File of the embedded database; by default `homeserver.db` in the data folder.  Used when no `postgres` is given."""
    postgres: Secret | None = None
    """Connection string of PostgreSQL 13 or newer, e.g. `postgresql://user:password@host/name`."""
    readers: int = 4
    """Connections that read at the same time, per process; one more writes."""

    def __post_init__(self) -> None:
        if self.sqlite and self.postgres:
            raise WrongField("sqlite", "expected either sqlite or postgres, not both")


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A port to listen on.  TLS when a certificate is given, else plain."""

    port: int
    """TCP port; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address of the machine to listen on; `::` and `0.0.0.0` mean all."""
    tls_certificate: Path | None = None
    """PEM file with the certificate and its chain."""
    tls_key: Path | None = None
    """PEM file with the private key."""
    resources: tuple[Literal["client", "federation", "metrics"], ...] = ("client", "federation")
    """What is served here: any of client, federation, metrics."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise WrongField("port", f"expected 0 to 65535, got {self.port}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise WrongField("tls_certificate", "expected tls_certificate and tls_key together")

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.tls_certificate else "http"


@dataclass(frozen=True, kw_only=True)
class Web:
    """Limits of the HTTP server."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies whose X-Forwarded-For is believed, e.g. 127.0.0.1 or 10.0.0.0/8."""
    max_connections_per_ip: int = 2000
    """Connections one address may hold open; trusted proxies and the machine itself may hold any number.  0: no limit."""
    idle_timeout: Duration = Duration.parse("2m")
    """An unused connection is closed after this time."""
    header_timeout: Duration = Duration.parse("30s")
    """A request line and its headers must have arrived after this time; a body gets as long, and a second more for every 4 KiB."""
    stall_timeout: Duration = Duration.parse("2m")
    """A client that takes nothing of its answer for so long is disconnected."""
    access_log: bool = False
    """Whether each request is told in the log: verb, path without its query, status, time and address."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Who may make an account."""

    mode: Literal["closed", "token", "open"] = "token"
    """closed: nobody, but for the command line and the shared secret; token: who has a token of `homeserver token new`; open: everybody."""
    shared_secret: Secret | None = None
    """Programs that know it may make accounts, even when registration is closed."""
    guests: bool = False
    """Whether there are guest accounts."""
    require_email: bool = False
    """Whether a new account needs a proven e-mail address; needs `email`."""
    terms_url: str | None = None
    """Web page with the terms that people must accept to make an account; nothing: no such step."""
    terms_version: str = "1"
    """Version of these terms."""


@dataclass(frozen=True, kw_only=True)
class Passwords:
    """How passwords are kept: Argon2id."""

    enabled: bool = True
    """Whether one may log in with a password."""
    min_length: int = 8
    """Shortest password allowed."""
    hash_time: int = 2
    """Passes of the hash.  Lower in tests only."""
    hash_memory: Size = Size.parse("19M")
    """Memory of the hash.  Lower in tests only."""


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """How long access tokens live."""

    access_token_lifetime: Duration = Duration.parse("1h")
    """Of tokens that come with a refresh token."""
    refresh_token_lifetime: Duration | None = None
    """Unused refresh tokens expire after this time; nothing: never."""
    login_token_lifetime: Duration = Duration.parse("2m")
    """Of the one-time tokens a session makes to log another in."""


@dataclass(frozen=True, kw_only=True)
class Federation:
    """The conversation with other servers."""

    enabled: bool = True
    """false: an island."""
    allowed_servers: tuple[str, ...] | None = None
    """Only these, `*` stands for anything; nothing: all."""
    denied_servers: tuple[str, ...] = ()
    """None of these, `*` stands for anything."""
    ca_file: Path | None = None
    """PEM file with further authorities whose certificates are believed."""
    verify_certificates: bool = True
    """false: any certificate is believed.  For tests only."""
    allow_private_addresses: bool = False
    """Whether servers, previews and pushes may lead to private networks.  For tests and closed networks."""
    allowed_addresses: tuple[str, ...] = ()
    """Addresses or networks that may be connected to whatever else is said, e.g. 10.1.2.3 or 10.0.0.0/8."""
    denied_addresses: tuple[str, ...] = ()
    """Addresses or networks never to be connected to, beside private ones."""
    trusted_notaries: tuple[str, ...] = ("matrix.org",)
    """Servers asked for the keys of servers that do not answer."""
    max_retry_delay: Duration = Duration.parse("6h")
    """The longest pause between two attempts to reach a server that is down."""
    share_device_names: bool = False
    """Whether other servers learn the names of our users' devices."""
    max_transaction: Size = Size.parse("10M")
    """Largest transaction taken from another server."""
    prefer_ipv4: bool = False
    """Whether addresses of version 4 are tried first."""

    def __post_init__(self) -> None:
        for name in ("allowed_addresses", "denied_addresses"):
            for text in getattr(self, name):
                try:
                    ip_network(text, strict=False)
                except ValueError:
                    raise WrongField(name, f"expected addresses or networks such as 10.0.0.0/8, got '{text}'") from None


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys this server signs with."""

    signing_key: Path | None = None
    """Key file; by default `signing.key` in the data folder.  Former keys stay in it, with the time of their end."""
    custody_key: Path | None = None
    """File with the key under which keys of rooms are encrypted that members give into custody; by default `custody.key` in the data
    folder, made when it is needed first.  Several machines need the same file."""
    validity: Duration = Duration.parse("1d")
    """How long other servers may rely on what we publish about our keys."""


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """Rooms, invites and knocks."""

    default_version: str = "12"
    """Version of new rooms."""
    invite_lifetime: Duration | None = None
    """Invites that nobody answers are withdrawn after this time, in rooms that say nothing else; nothing: never."""
    knock_lifetime: Duration | None = None
    """The same of knocks."""
    delayed_event_max: Duration = Duration.parse("1d")
    """The longest delay of a delayed event."""

    def __post_init__(self) -> None:
        # What swarms and ephemeral rooms are for is chosen with each: none can be what a room is that asks for nothing.
        possible = [version.id for version in VERSIONS.values() if version.stable]
        if self.default_version not in possible:
            raise WrongField("default_version", f"expected one of {', '.join(possible)}, got '{self.default_version}'")


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """Rooms without a central authority, `org.homeserver.swarm.1`."""

    largest_fetch_events: int = 50_000
    """The most events that are taken of another server at once: the answer to a join, events that are missing, history.  What is
    larger is refused whole."""
    largest_fetch_bytes: Size = Size.parse("64M")
    """The same in bytes."""
    waiting_of_user: Size = Size.parse("2G")
    """The most that one user may wait for: files of swarms that are to be fetched from other servers, all together."""
    waiting: Size = Size.parse("20G")
    """The same of all users of this server."""
    kept_free: Size = Size.parse("1G")
    """Room on the disk that files of swarms leave free."""

    def __post_init__(self) -> None:
        if self.largest_fetch_events < 1:
            raise WrongField("largest_fetch_events", f"expected 1 or more, got {self.largest_fetch_events}")


@dataclass(frozen=True, kw_only=True)
class Directory:
    """What can be searched."""

    user_directory: Literal["shared_rooms", "all", "off"] = "shared_rooms"
    """Whom a search for people finds: who shares a room or is in a public one, everybody here, or nobody."""
    public_rooms_over_federation: bool = True
    """Whether other servers may read the list of public rooms."""
    public_rooms_without_login: bool = False
    """Whether the list of public rooms is readable without an account."""
    publication: Literal["members", "admins"] = "members"
    """Who may put a room into the list of public rooms: those with power in it, or administrators."""


@dataclass(frozen=True, kw_only=True)
class Media:
    """Files."""

    path: Path | None = None
    """Folder; by default `media` in the data folder."""
    max_upload: Size = Size.parse("100M")
    """Largest file a user may upload."""
    max_remote: Size = Size.parse("100M")
    """Largest file fetched from another server."""
    max_per_user: Size | None = None
    """How much one user may keep here; nothing: no limit."""
    remote_lifetime: Duration | None = None
    """Copies of other servers' files are deleted when unused for so long; nothing: kept."""
    max_pixels: int = 32_000_000
    """Largest picture that is made smaller."""
    unauthenticated: bool = False
    """Whether the old endpoints without login serve new files, too."""
    url_previews: bool = False
    """Whether previews of links are made.  The server then fetches pages that users name."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """Who is online."""

    enabled: bool = True
    """false: nobody sees who is online."""
    over_federation: bool = True
    """Whether presence is sent to and taken from other servers."""


@dataclass(frozen=True, kw_only=True)
class Email:
    """Mail to users, e.g. to reset a password."""

    host: str
    """SMTP server."""
    sender: str
    """From whom the mails are, e.g. `Matrix <noreply@example.org>`."""
    port: int = 587
    """Port of the SMTP server."""
    security: Literal["starttls", "tls", "plain"] = "starttls"
    """How the connection is protected."""
    username: str | None = None
    """Login of the SMTP server."""
    password: Secret | None = None
    """Password of the SMTP server."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Relay for voice and video calls of two."""

    uris: tuple[str, ...] = ()
    """Addresses of TURN servers, e.g. `turn:turn.example.org?transport=udp`."""
    shared_secret: Secret | None = None
    """The secret the TURN servers know."""
    username: str | None = None
    """A fixed name instead of a shared secret."""
    password: Secret | None = None
    """The password of the fixed name."""
    lifetime: Duration = Duration.parse("1h")
    """How long credentials are good."""


@dataclass(frozen=True, kw_only=True)
class WellKnown:
    """What /.well-known/matrix/ says, where this server answers for its own name."""

    client_base_url: str | None = None
    """Where clients find the server; by default `public_baseurl`."""
    identity_server: str | None = None
    """Identity server clients should use."""
    server: str | None = None
    """Where servers find it, e.g. `matrix.example.org:443`; nothing: not served."""
    support_email: str | None = None
    """Mail address of an administrator."""
    support_matrix_id: str | None = None
    """Matrix id of an administrator."""
    support_page: str | None = None
    """Web page for people who need help."""
    rtc_livekit_urls: tuple[str, ...] = ()
    """Services for calls of many (MatrixRTC with LiveKit)."""


@dataclass(frozen=True, kw_only=True)
class ServerNotices:
    """What operators tell users, in a room of its own."""

    localpart: str = "_server"
    """Name of the user who tells it."""
    display_name: str = "Server Notices"
    """How this user is shown."""
    room_name: str = "Server Notices"
    """Name of the rooms."""

    def __post_init__(self) -> None:
        if not self.localpart or ":" in self.localpart or self.localpart != self.localpart.lower():
            raise WrongField("localpart", f"expected a user name in lower case, got '{self.localpart}'")


@dataclass(frozen=True, kw_only=True)
class Caches:
    """Memory for what was read."""

    budget: Size = Size.parse("64M")
    """For all caches of a process together."""


@dataclass(frozen=True, kw_only=True)
class Live:
    """What is told to who is online and written nowhere: messages of ephemeral rooms, steps of requests for room keys."""

    budget: Size = Size.parse("16M")
    """Memory of a process for what clients that reconnect may have missed; the oldest goes first."""
    seconds: Duration = Duration.parse("1m")
    """How long that is kept."""


@dataclass(frozen=True, kw_only=True)
class Bus:
    """Where the processes of a server find each other, to tell what is not stored.  With PostgreSQL only."""

    host: str = "127.0.0.1"
    """Address to listen on.  Processes on several machines need one that the others reach, in a network of their own."""
    port: int = 0
    """The first TCP port to try: each process of a machine takes the next free one, of 64; 0: any."""
    reached_at: str | None = None
    """The address at which others reach this machine, if it is not `host`."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535 - 64:
            raise WrongField("port", f"expected 0 to {65535 - 64}, got {self.port}")
        if self.reached_at is None and self.host in ("0.0.0.0", "::"):
            raise WrongField("reached_at", f"expected the address at which others reach this machine, as host is {self.host}")


@dataclass(frozen=True, kw_only=True)
class Logging:
    """What is told to the operator."""

    format: Literal["text", "json"] = "text"
    """Lines to read, or one JSON object per line."""
    level: Literal["debug", "info", "warn", "error"] = "info"
    """The least important level that is written."""
    file: Path | None = None
    """Where to; nothing: standard error."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole configuration of a server."""

    server_name: ServerName
    """The name of the server: the part after the colon in @user:example.org.  It can never be changed."""
    data_dir: Path = Path(".")
    """Folder for database, keys and media."""
    public_baseurl: str | None = None
    """The URL under which clients reach the server, e.g. https://matrix.example.org."""
    database: Database = Database()
    listeners: tuple[Listener, ...] = (Listener(port=8008),)
    web: Web = Web()
    registration: Registration = Registration()
    passwords: Passwords = Passwords()
    sessions: Sessions = Sessions()
    rate_limits: RateLimits = field(default_factory=RateLimits)
    federation: Federation = Federation()
    keys: Keys = Keys()
    rooms: Rooms = Rooms()
    swarm: Swarm = Swarm()
    directory: Directory = Directory()
    media: Media = Media()
    presence: Presence = Presence()
    email: Email | None = None
    turn: Turn = Turn()
    well_known: WellKnown = WellKnown()
    appservices: tuple[Path, ...] = ()
    """Registration files of application services, e.g. bridges."""
    server_notices: ServerNotices = ServerNotices()
    caches: Caches = Caches()
    live: Live = Live()
    logging: Logging = Logging()
    workers: int = 1
    """Processes that share the work; more than one need PostgreSQL."""
    bus: Bus = Bus()

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise WrongField("workers", f"expected 1 or more, got {self.workers}")
        if self.workers > 1 and self.database.postgres is None:
            raise WrongField("workers", "several processes need PostgreSQL (database.postgres); SQLite has one writer: expected 1")
        if self.public_baseurl is not None and not self.public_baseurl.startswith(("http://", "https://")):
            raise WrongField("public_baseurl", f"expected a URL that starts with https://, got '{self.public_baseurl}'")

    @property
    def sqlite_file(self) -> Path:
        """The embedded database."""
        return self.database.sqlite or self.data_dir / "homeserver.db"

    @property
    def signing_key_file(self) -> Path:
        """The file with the keys."""
        return self.keys.signing_key or self.data_dir / "signing.key"

    @property
    def media_folder(self) -> Path:
        """The folder with the files of users."""
        return self.media.path or self.data_dir / "media"

    @property
    def custody_key_file(self) -> Path:
        """The file with the key of what is in custody."""
        return self.keys.custody_key or self.data_dir / "custody.key"

    @property
    def client_url(self) -> str:
        """Where clients reach this server, as far as it knows; without a slash at the end."""
        if self.public_baseurl:
            return self.public_baseurl.rstrip("/")
        listener = next((one for one in self.listeners if "client" in one.resources), Listener(port=8008))
        host = "localhost" if listener.host in ("0.0.0.0", "::", "127.0.0.1") else listener.host
        return f"{listener.scheme}://{host}:{listener.port}"


def load(path: Path) -> Settings:
    """The settings in the YAML file at `path`; raises `BadSettings` that names each mistake with key, line and what is expected."""
    return typed_yaml.read(path, Settings)
