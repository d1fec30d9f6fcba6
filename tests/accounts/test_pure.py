"""The parts of accounts that are plain functions: names, flows, seals, letters, hashes."""

from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as some
from twisted.internet.defer import Deferred

from homeserver.accounts import passwords, usernames
from homeserver.accounts.interactive import Act, Offer, same_place
from homeserver.accounts.mail import letter
from homeserver.accounts.passwords import Cost, Passwords
from homeserver.accounts.registration import offer
from homeserver.errors import LimitExceeded, Refused
from homeserver.events.identifiers import ServerName, UserID
from homeserver.settings import Email, Registration, Settings
from tests.world import Network, at_once, story

CHEAP = Cost(1, 8, 1)
BODIES = some.dictionaries(some.text(), some.integers(-(2**63), 2**63))


@given(some.text(max_size=300))
def test_a_name_is_in_the_grammar_or_refused(text: str) -> None:
    try:
        user_id = usernames.new_user_id(text, "example.org")
    except Refused as refused:
        assert refused.errcode == "M_INVALID_USERNAME"
    else:
        assert UserID.parse_new(user_id) == user_id and user_id == f"@{text.lower()}:example.org"


@given(some.recursive(some.none() | some.integers() | some.text(), lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner)))
def test_whoever_is_meant_nothing_breaks(identifier: object) -> None:
    for request in ({"identifier": identifier}, {"user": identifier}, {"medium": identifier, "address": identifier}):
        try:
            meant = usernames.meant(request, "example.org")
        except Refused:
            continue
        assert meant is None or isinstance(meant, (UserID, tuple))


def test_a_flow_is_passed_as_a_whole() -> None:
    ways = Offer((("a", "b"), ("c",)))
    assert not ways.passed([]) and not ways.passed(["a"]) and not ways.passed(["b", "x"])
    assert ways.passed(["b", "a"]) and ways.passed(["x", "c"])
    assert not Offer(()).passed(["a"]) and not Offer(((),)).passed([]) and not Offer(((),)).passed(["a"])


@pytest.mark.parametrize("mode", ["open", "token"])
@pytest.mark.parametrize("require_email", [True, False])
@pytest.mark.parametrize("terms", [None, "https://a/terms"])
@pytest.mark.parametrize("email", [None, Email(host="x", sender="y@z")])
def test_no_way_to_register_is_empty_or_part_of_another(mode: str, require_email: bool, terms: str | None, email: Email | None) -> None:
    wanted = Registration(mode=mode, require_email=require_email, terms_url=terms)  # type: ignore[arg-type]
    flows = offer(Settings(server_name=ServerName("a"), registration=wanted, email=email)).flows
    assert all(flows)
    assert not [one for one in flows for other in flows if one is not other and set(one) <= set(other)]
    if mode == "token":
        assert all("m.login.registration_token" in flow for flow in flows)


@given(BODIES, BODIES)
def test_a_seal_covers_the_body_without_its_proof(body: dict[str, int], other: dict[str, int]) -> None:
    body.pop("auth", None), other.pop("auth", None)
    act = Act("POST", "/x", "@a:b", body)
    assert act.seal("s") == Act("POST", "/x/", "@a:b", {**dict(reversed(body.items())), "auth": 1}).seal("s")
    assert act.seal("s") != act.seal("t")
    assert (act.seal("s") == Act("POST", "/x", "@a:b", other).seal("s")) is (body == other)
    for elsewhere in (Act("PUT", "/x", "@a:b", body), Act("POST", "/y", "@a:b", body), Act("POST", "/x", None, body)):
        assert not same_place(act.seal("s"), elsewhere.seal("s"))


def test_a_letter_is_one_letter() -> None:
    raw = letter("Ä server <noreply@a>", "x@y.z", "Hällo", "Grüße\n.\nBcc: not a header\n")
    read = message_from_bytes(raw, policy=policy.default)
    assert (read["To"], read["Subject"], read["Bcc"]) == ("x@y.z", "Hällo", None)
    assert b"\r" not in raw
    assert "Grüße" in read.get_content()
    with pytest.raises(ValueError):
        letter("a@b", "x@y.z\nBcc: all@y.z", "s", "t")


@story
async def test_few_hashes_at_a_time(network: Network) -> None:
    async def slow(function: object, *args: object) -> object:
        await network.clock.sleep(3600)
        return False

    hashing = Passwords(CHEAP, slow)  # type: ignore[arg-type]
    begun = [Deferred.fromCoroutine(hashing.matches(None, "x")) for _ in range(passwords.MAX_WAITING)]
    with pytest.raises(LimitExceeded):
        await hashing.matches(None, "x")
    assert not any([await one for one in begun])
    assert await hashing.matches(None, "x") is False


def test_no_password_fits_where_there_is_none() -> None:
    hashing = Passwords(CHEAP, at_once)

    def matches(stored: str | None, password: str) -> bool:
        try:
            hashing.matches(stored, password).send(None)
        except StopIteration as done:
            return bool(done.value)
        raise AssertionError("waits")

    stored = passwords.hash_now("right", CHEAP)
    assert matches(stored, "right") and not matches(stored, "wrong")
    assert not matches(None, "") and not matches("", "") and not matches("nonsense", "x")  # not even the decoy's
