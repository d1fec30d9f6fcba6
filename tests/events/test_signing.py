"""Hashes and signatures against the vectors of the specification and against signedjson."""

import copy

import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events import drafts, event, signing, versions
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.identifiers import EventID, RoomID
from tests.events.rooms import ALICE, BOB, EVE, Room

SEED = signing.decode_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
KEY = signing.Key.of_seed("ed25519:1", SEED)
PUBLIC = signing.decode_base64(KEY.public)
OTHER = signing.decode_base64(signing.Key.of_seed("ed25519:1", bytes(32)).public)
V1, V11, V12 = versions.get("1"), versions.get("11"), versions.get("12")

MINIMAL = {
    "room_id": "!x:domain", "sender": "@a:domain", "origin": "domain", "origin_server_ts": 1000000, "signatures": {},
    "hashes": {}, "type": "X", "content": {}, "prev_events": [], "auth_events": [], "depth": 3, "unsigned": {"age_ts": 1000000},
}  # fmt: skip
MESSAGE = {
    "content": {"body": "Here is the message content"}, "event_id": "$0:domain", "origin": "domain", "origin_server_ts": 1000000,
    "type": "m.room.message", "room_id": "!r:domain", "sender": "@u:domain", "signatures": {}, "unsigned": {"age_ts": 1000000},
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "signature"),
    [
        ({}, "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"),
        ({"one": 1, "two": "Two"}, "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"),
    ],
)
def test_json_vectors(value, signature):
    signed = signing.sign_json(value, "domain", KEY)
    assert signed == {**value, "signatures": {"domain": {"ed25519:1": signature}}}
    signing.verify_json(signed, "domain", "ed25519:1", PUBLIC)


@pytest.mark.parametrize(
    ("data", "digest", "signature"),
    [
        (
            MINIMAL,
            "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
        ),
        (
            MESSAGE,
            "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
        ),
    ],
)
def test_event_vectors(data, digest, signature):
    before = copy.deepcopy(data)
    signed = signing.sign(V1, signing.add_hash(V1, data), "domain", KEY)
    assert signed == {**data, "hashes": {"sha256": digest}, "signatures": {"domain": {"ed25519:1": signature}}}
    assert data == before, "what was given is left alone"
    assert signing.hash_ok(V1, signed)
    signing.verify(V1, signed, "domain", "ed25519:1", PUBLIC)


@given(st.dictionaries(st.text(min_size=1), st.integers(-1000, 1000) | st.text() | st.none()))
def test_signatures_are_those_of_the_reference(value):
    value = {key: part for key, part in value.items() if key not in ("signatures", "unsigned")}
    ours = signing.sign_json(value, "domain", KEY)
    reference = signedjson.key.decode_signing_key_base64("ed25519", "1", "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
    assert ours == signedjson.sign.sign_json(dict(value), "domain", reference)
    signedjson.sign.verify_signed_json(copy.deepcopy(ours), "domain", signedjson.key.get_verify_key(reference))


def test_a_signature_is_added_to_those_there_are():
    twice = signing.sign_json(signing.sign_json({"a": 1, "unsigned": {"b": 2}}, "one", KEY), "two", KEY)
    assert twice["unsigned"] == {"b": 2} and set(twice["signatures"]) == {"one", "two"}
    signing.verify_json(twice, "one", "ed25519:1", PUBLIC)


@pytest.mark.parametrize(
    "signatures",
    [
        None, [], {}, {"domain": None}, {"domain": {}}, {"domain": {"ed25519:1": 5}}, {"domain": {"ed25519:1": ""}},
        {"domain": {"ed25519:1": "!!"}}, {"domain": {"ed25519:1": "AAAA"}}, {"domain": {"ed25519:1": "A" * 86}},
        {"domain": {"ed25519:1": "é" * 86}}, {"other": {"ed25519:1": "A" * 86}},
    ],
)
def test_bad_signatures(signatures):
    with pytest.raises(BadSignature):
        signing.verify_json({"a": 1, "signatures": signatures}, "domain", "ed25519:1", PUBLIC)


def test_another_key_or_another_text_does_not_fit():
    signed = signing.sign_json({"a": 1}, "domain", KEY)
    with pytest.raises(BadSignature):
        signing.verify_json(signed, "domain", "ed25519:1", OTHER)
    with pytest.raises(BadSignature):
        signing.verify_json({**signed, "a": 2}, "domain", "ed25519:1", PUBLIC)
    with pytest.raises(BadSignature):
        signing.verify_json(signed, "domain", "ed25519:1", b"short")


def test_signatures_hold_for_the_redacted_event_and_hashes_do_not():
    signed = signing.sign(V12, Room().settled().say(ALICE).data, "one.example", KEY)
    redacted = {**signed, "content": {}}
    signing.verify(V12, redacted, "one.example", "ed25519:1", PUBLIC)
    assert signing.hash_ok(V12, signed) and not signing.hash_ok(V12, redacted)


@pytest.mark.parametrize("hashes", [None, {}, {"sha256": None}, {"sha256": "?"}, {"sha256": "AAAA"}, [], {"sha1": "x"}])
def test_hashes_that_do_not_fit(hashes):
    assert not signing.hash_ok(V11, {**MESSAGE, "hashes": hashes})


def test_base64_of_the_specification():
    for length in range(7):
        raw = b"foobar"[:length]
        assert signing.encode_base64(raw) == ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"][length]
        assert signing.decode_base64(signing.encode_base64(raw)) == raw
    assert signing.decode_base64("Zg==") == b"f"
    assert signing.decode_base64("-_-_") == signing.decode_base64("+/+/")


@pytest.mark.parametrize("text", ["A", "?", "é", "Zg\n", " Zg", None, 5, b"Zg", "-?", "Z=g"])
def test_what_is_no_base64(text):
    with pytest.raises(Malformed):
        signing.decode_base64(text)


def member(version, membership, sender=ALICE, target=ALICE, **content):
    data = drafts.complete(
        versions.get(version),
        drafts.Draft("m.room.member", sender, {"membership": membership, **content}, target),
        RoomID("!" + "h" * 43 if version == "12" else "!r:one.example"),
        [EventID("$p:x")],
        [],
        1,
        0,
    )
    return event.read(versions.get(version), {**data, "signatures": {}})


def test_who_has_to_sign():
    assert signing.required_signers(member("12", "join")) == {"one.example"}
    assert signing.required_signers(member("12", "invite", ALICE, BOB)) == {"one.example"}
    assert signing.required_signers(member("12", "invite", ALICE, BOB, third_party_invite={})) == set()
    assert signing.required_signers(member("12", "join", third_party_invite={})) == {"one.example"}
    assert signing.required_signers(member("12", "join", join_authorised_via_users_server=EVE)) == {"one.example", "two.example"}
    assert signing.required_signers(member("7", "join", join_authorised_via_users_server=EVE)) == {"one.example"}
    foreign = member("2", "join").replace(event_id=EventID("$x:three.example"))
    assert signing.required_signers(foreign) == {"one.example", "three.example"}


@pytest.mark.parametrize("voucher", [5, "", "eve", ["@eve:two.example"], {}, False])
def test_a_voucher_who_is_nobody(voucher):
    with pytest.raises(Malformed):
        signing.required_signers(member("12", "join", join_authorised_via_users_server=voucher))
