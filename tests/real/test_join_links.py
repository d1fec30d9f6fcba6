"""Join links over real sockets: two servers of ours, restarts, a power cut, two processes, and somebody of a Synapse."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from nacl.encoding import Base64Encoder
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey

from homeserver.events import canonical
from tests.certificates import Authority
from tests.real import invariants, processes
from tests.real.doors import Line, one_each
from tests.real.doors import register as register_at
from tests.real.people import Person, Reply, ask
from tests.real.processes import Program
from tests.real.sides import person

CLIENT = "/_matrix/client/unstable/org.homeserver"
KEY = "the key of the room, which is not to be found anywhere"
TALKATIVE = {"logging": "{file: log, level: debug}", "web": "{access_log: true}"}
OPTIONS = {
    "custody": {"approval": False, "key_custody": True, "key": KEY},
    "members give the key": {"approval": False, "key_custody": False},
    "approval": {"approval": True, "key_custody": False},
}


@pytest.fixture(scope="module")
def pair(engine: str, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Program]]:
    """Two servers of ours that write down all they can."""
    folders = [tmp_path_factory.mktemp(name) for name in ("host", "guest")]
    with (
        processes.homeserver(folders[0], authority, engine, TALKATIVE) as host,
        processes.homeserver(folders[1], authority, engine, TALKATIVE) as guest,
    ):
        yield host, guest


def publishes(who: Person) -> PrivateKey:
    """Upload the keys of a device, as every client does; the private one."""
    private, identity = PrivateKey.generate(), SigningKey.generate()
    text = private.public_key.encode(Base64Encoder).decode().rstrip("=")
    signing = identity.verify_key.encode(Base64Encoder).decode().rstrip("=")
    keys: dict[str, Any] = {
        "user_id": who.user_id,
        "device_id": who.device_id,
        "algorithms": [],
        "keys": {f"curve25519:{who.device_id}": text, f"ed25519:{who.device_id}": signing},
    }
    signature = identity.sign(canonical.encode(keys), Base64Encoder).signature.decode().rstrip("=")
    keys["signatures"] = {who.user_id: {f"ed25519:{who.device_id}": signature}}
    who.must("POST", "/keys/upload", {"device_keys": keys})
    return private


def opened(private: PrivateKey, key: dict[str, str]) -> str:
    """What a sealed key holds."""
    return str(SealedBox(private).decrypt(key["ciphertext"], Base64Encoder).decode())


def link(maker: Person, room: str, **wanted: Any) -> dict[str, Any]:
    made: dict[str, Any] = maker.must("POST", f"{CLIENT}/rooms/{room}/links", wanted)
    return made


def follows(who: Person, made: dict[str, Any]) -> Reply:
    return who.ask("POST", f"{CLIENT}/follow_link", {"server": made["server"], "token": made["token"]})


def waiting(alice: Person, room: str) -> list[dict[str, Any]]:
    return list(alice.must("GET", f"{CLIENT}/rooms/{room}/link_requests")["requests"])


def approves_key(alice: Person, room: str, private: PrivateKey, bob: Person) -> None:
    """Alice seals the room's key for the device that asks; Bob's device opens it."""
    (asked,) = alice.awaits("a request", lambda: alice.must("GET", f"{CLIENT}/rooms/{room}/key_requests")["requests"])
    box = SealedBox(private.public_key).encrypt(KEY.encode(), Base64Encoder).decode()
    key = {"key": {"algorithm": "sealed_box", "ciphertext": box}}
    reply = alice.ask("PUT", f"{CLIENT}/rooms/{room}/key_requests/{asked['request_id']}/approval", key)
    assert reply.status in (200, 202), reply
    own = bob.awaits("the key", lambda: [one for one in bob.must("GET", f"{CLIENT}/key_requests")["requests"] if one.get("key")])
    assert opened(private, own[0]["key"]) == KEY


@pytest.mark.parametrize("options", OPTIONS)
def test_a_user_of_another_server_follows(pair: tuple[Program, Program], options: str) -> None:
    host, guest = pair
    alice, bob = person(host, "alice"), person(guest, "bob")
    private = publishes(bob)
    room = alice.creates(preset="private_chat", name="Garden")
    made = link(alice, room, **OPTIONS[options])
    reply = follows(bob, made)
    assert reply.status == 200, reply
    if options == "approval":
        assert reply.json["status"] == "waiting"
        for server in pair:  # who waits waits on
            with server.stopped():
                pass
        (request,) = waiting(alice, room)
        assert request["user_id"] == bob.user_id
        alice.must("POST", f"{CLIENT}/link_requests/{request['request_id']}/approve")
    else:
        assert reply.json["status"] == "joined"
    bob.awaits_membership(room, "join")
    alice.awaits_member(room, bob.user_id, "join")
    if options == "custody":
        assert opened(private, reply.json["key"]) == KEY
    else:
        approves_key(alice, room, private, bob)


def test_approval_forbids_custody(pair: tuple[Program, Program]) -> None:
    alice = person(pair[0], "alice")
    room = alice.creates(preset="private_chat")
    reply = alice.ask("POST", f"{CLIENT}/rooms/{room}/links", {"approval": True, "key_custody": True, "key": KEY})
    assert (reply.status, reply.json["errcode"]) == (400, "M_INVALID_PARAM")


def test_while_the_links_server_is_down_the_error_says_so(pair: tuple[Program, Program]) -> None:
    host, guest = pair
    alice, bob = person(host, "alice"), person(guest, "bob")
    room = alice.creates(preset="private_chat")
    made = link(alice, room, **OPTIONS["members give the key"])
    with host.stopped():
        reply = follows(bob, made)
        assert reply.status == 502 and f"{host.name} could not be asked" in reply.json["error"]
    assert follows(bob, made).json["status"] == "joined"


def test_an_approval_while_the_others_server_is_down_can_be_given_again(pair: tuple[Program, Program]) -> None:
    host, guest = pair
    alice, bob = person(host, "alice"), person(guest, "bob")
    room = alice.creates(preset="private_chat")
    assert follows(bob, link(alice, room, **OPTIONS["approval"])).json["status"] == "waiting"
    (request,) = waiting(alice, room)
    path = f"{CLIENT}/link_requests/{request['request_id']}/approve"
    with guest.stopped():
        reply = alice.ask("POST", path)
        assert reply.status == 502 and guest.name in reply.json["error"], "the invite needs the other server"
        assert waiting(alice, room) == [request], "nothing is lost"
    alice.must("POST", path)
    bob.awaits_membership(room, "join")


def test_after_a_power_cut_neither_token_nor_key_is_anywhere(pair: tuple[Program, Program]) -> None:
    host, guest = pair
    alice, bob, carol = person(host, "alice"), person(guest, "bob"), person(host, "carol")
    private = publishes(bob)
    room = alice.creates(preset="private_chat", name="Garden")
    made = link(alice, room, **OPTIONS["custody"])
    page = ask(host.url, "GET", f"/join/{made['token']}")
    assert b"Garden" in page.raw
    assert asks_on_page(host, made["token"], carol.user_id).count("is invited")
    for odd in (f"/join/{made['token']}/", f"/join/{made['token']}/x", f"//join/{made['token']}", f"/%6aoin/{made['token']}"):
        ask(host.url, "GET", odd)
    reply = follows(bob, made)
    assert opened(private, reply.json["key"]) == KEY
    for server in pair:
        server.kill()
    try:
        found = [f"{secret} in {file}" for secret in (made["token"], KEY) for server in pair for file in holding(server, secret)]
        assert found == []
        assert "/join/..." in host.log.read_text() and "follow_link" in guest.log.read_text(), "it is written down that somebody came"
    finally:
        for server in pair:
            server.start()


def holding(server: Program, secret: str) -> list[str]:
    """The files of a server, and the tables of its database, in which something stands."""
    files = [file for file in server.folder.rglob("*") if file.is_file()]
    found = [str(file) for file in files if secret.encode() in file.read_bytes()]
    if not server.database.endswith(".db") and "postgres" in server.database:
        with invariants.connected(server.database) as rows:
            tables = [name for (name,) in rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")]
            found += [name for name in tables if any(secret in str(_plain(row)) for row in rows(f'SELECT * FROM "{name}"'))]
    return found


def _plain(row: Any) -> list[str]:
    return [bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value) for value in row]


def asks_on_page(server: Program, token: str, user: str) -> str:
    """What the page says to who enters a Matrix ID."""
    request = Request(f"{server.url}/join/{token}", f"user_id={quote(user, safe='')}".encode(), method="POST")
    with urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def test_somebody_of_a_synapse_comes_through_the_page(ours: Program, synapse: Program) -> None:
    alice, bob = person(ours, "alice"), person(synapse, "bob")
    room = alice.creates(preset="private_chat", name="Garden")
    made = link(alice, room, **OPTIONS["members give the key"])
    assert f"{bob.user_id} is invited" in asks_on_page(ours, made["token"], bob.user_id)
    bob.awaits_membership(room, "invite")
    bob.joins(room)
    alice.awaits_member(room, bob.user_id, "join")
    carol = person(synapse, "carol")
    made = link(alice, room, **OPTIONS["approval"])
    assert "A member was asked" in asks_on_page(ours, made["token"], carol.user_id)
    (request,) = waiting(alice, room)
    alice.must("POST", f"{CLIENT}/link_requests/{request['request_id']}/approve")
    carol.awaits_membership(room, "invite")
    carol.joins(room)
    alice.awaits_member(room, carol.user_id, "join")


def test_two_processes_let_in_as_many_as_may(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> None:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    with processes.homeserver(tmp_path, authority, "postgres", {"workers": 2}) as server:
        lines = one_each(server)
        maker = register_at(lines[0], "alice")
        room = lines[0].must("POST", "/createRoom", {"preset": "private_chat"}, maker["access_token"])["room_id"]
        people = [register_at(lines[number % 2], f"user{number}") for number in range(8)]
        for uses in (1, 3):
            path, wanted = f"{CLIENT}/rooms/{room}/links", {"approval": False, "key_custody": False, "uses": uses}
            made = lines[1].must("POST", path, wanted, maker["access_token"])
            # Each comes twice, through either process.
            told = at_once([(Line(server.url), one["access_token"], made) for one in people * 2])
            assert set(told) <= {200, 404}, told
            listed = lines[0].must("GET", path, None, maker["access_token"])["links"]
            assert next(one["uses_left"] for one in listed if one["link_id"] == made["link_id"]) == 0
            with invariants.connected(server.database) as rows:
                (counted,) = next(iter(rows(f"SELECT COUNT(*) FROM link_requests WHERE link_id = '{made['link_id']}'")))
            assert counted == uses


def at_once(comers: list[tuple[Line, str, dict[str, Any]]]) -> list[int]:
    """What those who come together are answered."""
    together, told = threading.Barrier(len(comers)), []

    def comes(line: Line, token: str, made: dict[str, Any]) -> None:
        together.wait()
        told.append(line.ask("POST", f"{CLIENT}/follow_link", {"server": made["server"], "token": made["token"]}, token)[0])

    threads = [threading.Thread(target=comes, args=one) for one in comers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told
