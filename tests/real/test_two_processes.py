"""Two processes that are one server: a client cannot tell which of them serves it, nor that one of them was killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from tests.certificates import Authority
from tests.real import invariants, processes
from tests.real.crowd import Crowd
from tests.real.doors import Line, one_each, process_of, register, workers
from tests.real.processes import Program

ROUNDS = 3
HELLO = {"msgtype": "m.text", "body": "x"}


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    with processes.homeserver(tmp_path_factory.mktemp("two"), authority, "postgres", {"workers": 2}) as program:
        one_each(program)
        yield program


@pytest.fixture(scope="module")
def turns(server: Program) -> list[tuple[Line, Line]]:
    """The two processes, in each order, several times."""
    return list(permutations(one_each(server))) * ROUNDS


_count = iter(range(10**6))


def person(line: Line) -> dict[str, str]:
    return register(line, f"someone{next(_count)}")


def test_connections_land_on_both(server: Program) -> None:
    lines = [Line(server.url) for _ in range(40)]
    together = threading.Barrier(len(lines))

    def connects(line: Line) -> None:
        together.wait()
        for _ in range(5):
            line.must("GET", "/_matrix/client/versions")

    threads = [threading.Thread(target=connects, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served = [process_of(line, workers(server)) for line in lines]
    assert len(set(served)) == 2 and min(map(served.count, set(served))) >= 4, served


def test_a_token_is_good_at_once_and_ends_at_once_on_both(turns: list[tuple[Line, Line]]) -> None:
    for a, b in turns:
        who = person(a)
        token = who["access_token"]
        assert b.must("GET", "/account/whoami", token=token)["user_id"] == who["user_id"]
        login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": who["user_id"]}, "password": "a long password"}
        second = b.must("POST", "/login", login)["access_token"]
        assert a.must("GET", "/account/whoami", token=second)["user_id"] == who["user_id"]
        for _ in range(3):
            b.must("GET", "/account/whoami", token=token)  # in memory of both by now
        a.must("POST", "/logout", {}, token=token)
        assert b.ask("GET", "/account/whoami", token=token)[0] == 401
        assert a.must("GET", "/account/whoami", token=second)
        b.must("POST", "/logout/all", {}, token=second)
        assert a.ask("GET", "/account/whoami", token=second)[0] == 401


def test_a_device_is_removed_with_a_proof_begun_on_the_other(turns: list[tuple[Line, Line]]) -> None:
    for a, b in turns:
        who = person(a)
        login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": who["user_id"]}, "password": "a long password"}
        other = a.must("POST", "/login", login)
        assert a.must("GET", "/account/whoami", token=other["access_token"])
        assert b.must("GET", "/account/whoami", token=other["access_token"])
        status, asked = a.ask("DELETE", f"/devices/{other['device_id']}", {}, token=who["access_token"])
        assert status == 401
        proof = {"auth": {**login, "session": asked["session"]}}
        b.must("DELETE", f"/devices/{other['device_id']}", proof, token=who["access_token"])
        assert a.ask("GET", "/account/whoami", token=other["access_token"])[0] == 401
        assert [one["device_id"] for one in a.must("GET", "/devices", token=who["access_token"])["devices"]] == [who["device_id"]]


def test_what_is_done_in_a_room_is_seen_at_once(turns: list[tuple[Line, Line]]) -> None:
    for a, b in turns:
        alice, bob = person(a), person(b)
        one, two = alice["access_token"], bob["access_token"]
        room = a.must("POST", "/createRoom", {"preset": "public_chat", "name": "x"}, token=one)["room_id"]
        assert room in b.must("GET", "/sync", token=one)["rooms"]["join"]
        b.must("POST", f"/join/{room}", {}, token=two)
        since = a.must("GET", "/sync", token=two)["next_batch"]
        for number, (here, there) in enumerate([(a, b), (b, a)] * 3):
            said = here.must("PUT", f"/rooms/{room}/send/m.room.message/{number}", HELLO, token=one)["event_id"]
            assert there.must("GET", f"/rooms/{room}/event/{said}", token=two)["event_id"] == said
            assert there.must("GET", f"/rooms/{room}/messages", token=two, dir="b", limit=1)["chunk"][0]["event_id"] == said
            found = there.must("GET", "/sync", token=two, since=since, timeout=0)
            assert [event["event_id"] for event in found["rooms"]["join"][room]["timeline"]["events"]] == [said]
            since = found["next_batch"]
            assert "join" not in here.must("GET", "/sync", token=two, since=since, timeout=0).get("rooms", {})
            again = there.must("PUT", f"/rooms/{room}/send/m.room.message/{number}", HELLO, token=one)
            assert again["event_id"] == said
            here.must("PUT", f"/rooms/{room}/state/m.room.topic/", {"topic": str(number)}, token=one)
            assert there.must("GET", f"/rooms/{room}/state/m.room.topic/", token=two) == {"topic": str(number)}
            since = there.must("GET", "/sync", token=two, since=since, timeout=0)["next_batch"]
        a.must("POST", f"/rooms/{room}/leave", {}, token=two)
        assert b.ask("PUT", f"/rooms/{room}/send/m.room.message/x", HELLO, token=two)[0] == 403


def test_what_is_kept_for_an_account_is_seen_at_once(turns: list[tuple[Line, Line]]) -> None:
    for number, (a, b) in enumerate(turns):
        who, other = person(a), person(b)
        token, name = who["access_token"], who["user_id"]
        since = b.must("GET", "/sync", token=token)["next_batch"]
        a.must("PUT", f"/user/{name}/account_data/org.example.x", {"n": number}, token=token)
        assert b.must("GET", f"/user/{name}/account_data/org.example.x", token=token) == {"n": number}
        found = b.must("GET", "/sync", token=token, since=since, timeout=0)
        assert [event["type"] for event in found["account_data"]["events"]] == ["org.example.x"]
        made = a.must("POST", f"/user/{name}/filter", {"room": {"timeline": {"limit": 3}}}, token=token)["filter_id"]
        assert b.must("GET", f"/user/{name}/filter/{made}", token=token)["room"]["timeline"]["limit"] == 3
        b.must("PUT", f"/profile/{name}/displayname", {"displayname": f"n{number}"}, token=token)
        assert a.must("GET", f"/profile/{name}/displayname", token=token) == {"displayname": f"n{number}"}
        a.must("PUT", "/pushrules/global/content/x", {"actions": ["notify"], "pattern": "x"}, token=token)
        assert b.must("GET", "/pushrules/global/content/x", token=token)["pattern"] == "x"
        b.must("PUT", f"/sendToDevice/org.example.x/{number}", {"messages": {name: {"*": {"n": number}}}}, token=other["access_token"])
        sent = a.must("GET", "/sync", token=token, since=found["next_batch"], timeout=0)["to_device"]["events"]
        assert [event["content"] for event in sent] == [{"n": number}]
        a.must("PUT", f"/directory/room/%23x{number}-{next(_count)}:{name.partition(':')[2]}", {"room_id": _room(b, token)}, token=token)


def _room(line: Line, token: str) -> str:
    room: str = line.must("POST", "/createRoom", {}, token=token)["room_id"]
    return room


def test_keys_are_seen_at_once_and_claimed_once(turns: list[tuple[Line, Line]]) -> None:
    for a, b in turns:
        alice, bob = person(a), person(b)
        one, two = alice["access_token"], bob["access_token"]
        room = a.must("POST", "/createRoom", {"preset": "public_chat"}, token=one)["room_id"]
        b.must("POST", f"/join/{room}", {}, token=two)
        since = b.must("GET", "/sync", token=two)["next_batch"]
        keys = {
            "user_id": alice["user_id"],
            "device_id": alice["device_id"],
            "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
            "keys": {f"ed25519:{alice['device_id']}": "x" * 43},
            "signatures": {},
        }
        singles = {f"curve25519:{number}": f"key{number}" for number in range(4)}
        a.must("POST", "/keys/upload", {"device_keys": keys, "one_time_keys": singles}, token=one)
        changed = b.must("GET", "/keys/changes", token=two, **{"from": since, "to": since})["changed"]
        assert alice["user_id"] in changed
        queried = b.must("POST", "/keys/query", {"device_keys": {alice["user_id"]: []}}, token=two)
        assert queried["device_keys"][alice["user_id"]][alice["device_id"]]["keys"] == keys["keys"]
        wanted = {"one_time_keys": {alice["user_id"]: {alice["device_id"]: "curve25519"}}}
        claimed = [line.must("POST", "/keys/claim", wanted, token=two)["one_time_keys"] for line in (a, b, a, b)]
        names = [name for found in claimed for name in found[alice["user_id"]][alice["device_id"]]]
        assert sorted(names) == sorted(singles)


def test_typing_and_presence_are_told_by_both(turns: list[tuple[Line, Line]]) -> None:
    for a, b in turns:
        alice, bob = person(a), person(b)
        one, two = alice["access_token"], bob["access_token"]
        room = a.must("POST", "/createRoom", {"preset": "public_chat"}, token=one)["room_id"]
        b.must("POST", f"/join/{room}", {}, token=two)
        since = b.must("GET", "/sync", token=two)["next_batch"]
        a.must("PUT", f"/rooms/{room}/typing/{alice['user_id']}", {"typing": True, "timeout": 20000}, token=one)
        since, found = until(b, two, since, partial(ephemeral, room))
        assert found == [alice["user_id"]]
        b.must("PUT", f"/rooms/{room}/typing/{alice['user_id']}", {"typing": False}, token=one)
        since, found = until(a, two, since, partial(ephemeral, room))
        assert found == []
        a.must("PUT", f"/presence/{alice['user_id']}/status", {"presence": "online", "status_msg": "here"}, token=one)
        since, found = until(b, two, since, partial(status, alice["user_id"]))
        assert found == "here"
        assert b.must("GET", f"/presence/{alice['user_id']}/status", token=two)["status_msg"] == "here"


def until(line: Line, token: str, since: str, seen: Any) -> tuple[str, Any]:
    """Sync until something is seen."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = line.must("GET", "/sync", token=token, since=since, timeout=2000)
        since = found["next_batch"]
        if (what := seen(found)) is not None:
            return since, what
    raise AssertionError("in vain")


def ephemeral(room: str, found: Any) -> list[str] | None:
    events = found.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
    return next((event["content"]["user_ids"] for event in events if event["type"] == "m.typing"), None)


def status(user_id: str, found: Any) -> str | None:
    events = found.get("presence", {}).get("events", [])
    return next((event["content"].get("status_msg") for event in events if event["sender"] == user_id), None)


def test_work_of_a_killed_process_is_taken_over_at_once(server: Program) -> None:
    with invariants.connected(server.database) as rows:

        def leader() -> str:
            return str(rows("SELECT holder FROM leases WHERE name = 'outbox'")[0][0])

        before, took = leader(), dict[int, float]()
        for victim in workers(server):  # one of them has it
            one_each(server)
            began = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            while leader() == before and time.monotonic() < began + 4:
                time.sleep(0.02)
            took[victim] = time.monotonic() - began
            if leader() != before:
                break
        assert leader() != before, took
        one_each(server)


def test_everything_is_told_once_in_order_also_while_processes_are_killed(authority: Authority, server: Program) -> None:
    crowd = Crowd.gather(server.url, rooms=3, talkers=8, followers=8)
    lines = [one.line for one in (*crowd.talkers, *crowd.followers)]
    assert len({process_of(line, workers(server)) for line in lines}) == 2, "all on one process"

    def kills() -> None:
        for number in range(4):
            time.sleep(0.7)
            os.kill(workers(server)[number % 2], signal.SIGKILL)
            one_each(server)

    crowd.runs(60)
    crowd.check()
    crowd.runs(150, kills)
    crowd.check()
    for line in lines:  # tokens are good on both
        for each in one_each(server):
            assert each.ask("GET", "/account/whoami", token=line.token)[0] == 200
    crowd.close()
    log = [line for line in server.log.read_text().splitlines() if "ended with status -9" not in line]
    assert not [line for line in log if "Traceback" in line or " error " in line or " critical " in line], server.said()
    server.stop()
    assert invariants.check_file(server.database) >= 8 * 60 * 2
