"""Whatever somebody who may ask sends to any endpoint: no failure of ours, the standard error, and nothing changes."""

from collections.abc import Callable
from functools import cache

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeserver.web.endpoints import Endpoint
from tests import databases
from tests.hostile.rig import NO_JSON, NO_OBJECT, ODD_PARTS, ODD_VALUES, Target, body_of, endpoints, mutants, query_names

# Another server cannot be reached, or says nothing of use.
THEIR_FAULT = {502, 504}
WEB_PAGES = ("/join/{token}", "/fallback/web", "/submit_token", "/static/")


@cache
def all_endpoints() -> list[Endpoint]:
    found = endpoints()
    databases.close_all()
    return found


class Offences(list[str]):
    """What went wrong, all of it."""

    def __init__(self) -> None:
        self.target, self.done = Target(), 0

    def attack(self, endpoint: Endpoint, path: str, raw: bytes = b"", query: str = "", method: str = "", *, refused: bool = False) -> None:
        method = method or endpoint.route.method
        self.target.writes.look()
        response, body = self.target.send(endpoint, method, path, raw, query or usual_query(endpoint))
        written = self.target.writes.look()
        shown = f"{method} {path[:200]}?{query[:200]} {raw[:300]!r} -> {response.status} {body[:200]!r}"
        if response.status >= 500 and response.status not in THEIR_FAULT:
            self.append(f"failed: {shown}")
        if response.status < 400:
            if refused:
                self.append(f"not refused: {shown}")
            self.done += 1
            self._begin_anew()
            return
        if not (is_web_page(endpoint) or is_standard(body)):
            self.append(f"not the standard error: {shown}")
        if written:
            self.append(f"refused, and changed {sorted(written)}: {shown}")

    def _begin_anew(self) -> None:
        """Once the request that succeeded was the last one of its sender, or when much has happened already."""
        if self.done > 200 or self.target.run(self.target.alice.get("/account/whoami")).status != 200:
            databases.close_all()
            self.target, self.done = Target(), 0


def usual_query(endpoint: Endpoint) -> str:
    return "version=1" if "/room_keys/keys" in endpoint.route.path else ""


def is_web_page(endpoint: Endpoint) -> bool:
    return any(part in endpoint.route.path for part in WEB_PAGES)


def is_standard(body: bytes) -> bool:
    """spec: client-server-api#standard-error-response, and that of interactive authentication"""
    answer = orjson.loads(body)
    return (isinstance(answer.get("errcode"), str) and isinstance(answer.get("error"), str)) or "flows" in answer


def on_all(attack: Callable[[Offences, Endpoint], None]) -> None:
    found, offences = all_endpoints(), Offences()
    for endpoint in found:
        attack(offences, endpoint)
    assert not offences, f"{len(offences)}:\n" + "\n".join(offences[:40])


def test_what_is_no_json_is_refused() -> None:
    def attack(them: Offences, endpoint: Endpoint) -> None:
        if endpoint.body is None or endpoint.upload:
            return
        path, web_page = them.target.path(endpoint), is_web_page(endpoint)
        for raw in NO_JSON:
            them.attack(endpoint, path, raw, refused=not web_page)
        for raw in NO_OBJECT:
            them.attack(endpoint, path, raw, refused=not web_page and raw != b"null")
        them.attack(endpoint, path, b"{" + b" " * endpoint.route.options.max_body + b"}", refused=True)

    on_all(attack)


def test_fields_of_the_wrong_kind() -> None:
    def attack(them: Offences, endpoint: Endpoint) -> None:
        body = body_of(endpoint)
        for raw in mutants(body):
            them.attack(endpoint, them.target.path(endpoint), raw)

    on_all(attack)


def test_odd_paths_queries_and_verbs() -> None:
    def attack(them: Offences, endpoint: Endpoint) -> None:
        body = body_of(endpoint)
        raw = b"" if body is None else orjson.dumps(body)
        for parameter, _, _ in endpoint.path_parameters:
            for odd in ODD_PARTS:
                them.attack(endpoint, them.target.path(endpoint, (parameter, odd)), raw)
        for parameter in query_names(endpoint):
            for odd in ODD_VALUES:
                them.attack(endpoint, them.target.path(endpoint), raw, f"{parameter}={odd}")
        for method in ("PATCH", "TRACE", "get", "BREW"):
            them.attack(endpoint, them.target.path(endpoint), raw, method=method, refused=True)

    on_all(attack)


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["@alice:a", "@bob:b", "!x:a", "$x", "#x:a", "m.room.member", "join", "x" * 256, "mxc://a/b", "ed25519:x"]),
)


def shaped_like(value: object) -> st.SearchStrategy[object]:
    """Bodies like this one, with anything in the place of anything."""
    if isinstance(value, dict):
        whole: st.SearchStrategy[object] = st.fixed_dictionaries({}, optional={key: shaped_like(inner) for key, inner in value.items()})
    elif isinstance(value, list):
        whole = st.lists(shaped_like(value[0]) if value else ATOMS, max_size=3)
    else:
        whole = st.just(value)
    return st.one_of(whole, whole, whole, ATOMS, st.lists(ATOMS, max_size=2), st.dictionaries(st.text(max_size=4), ATOMS, max_size=2))


@pytest.fixture
def attacked() -> Offences:
    all_endpoints()
    return Offences()


@settings(
    max_examples=1000, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_any_mixture(attacked: Offences, data: st.DataObject) -> None:
    endpoint = data.draw(st.sampled_from([one for one in all_endpoints() if body_of(one)]))
    try:
        raw = orjson.dumps(data.draw(shaped_like(body_of(endpoint))))
    except TypeError:  # integers that no JSON of ours has
        return
    attacked.attack(endpoint, attacked.target.path(endpoint), raw)
    assert not attacked


def test_the_rig_sees_what_is_written() -> None:
    all_endpoints()
    target = Target()
    endpoint = next(one for one in all_endpoints() if one.route.path.endswith("/send/{event_type}/{txn_id}"))
    for raw, written in ((b'{"a":1.5}', False), (b'{"a":1}', True)):
        target.writes.look()
        response, _ = target.send(endpoint, "PUT", target.path(endpoint), raw, "")
        assert (response.status == 200, "events" in target.writes.look()) == (written, written)
