"""Cross-signing: the first set is free, changes need proof, every signature is verified, nobody sees what is not theirs."""

from typing import Any

import pytest

from homeserver.errors import Refused
from homeserver.events import signing
from homeserver.keys.signing_keys import ProofNeeded
from tests.keys.town import Person, Town

ROOM = "!room:a"


def public(body: dict[str, Any], usage: str) -> str:
    (key,) = body[f"{usage}_key"]["keys"].values()
    return str(key)


def proof(txn: object) -> None:
    """A proof of identity that may be used."""


def test_first_keys_are_free_the_same_again_too_others_need_proof(town: Town) -> None:
    alice = town.server("a").person("alice", "PHONE")
    body = alice.cross_signing()
    alice.sets_up({"master_key": body["master_key"]})
    alice.sets_up({"master_key": body["master_key"]})
    with pytest.raises(ProofNeeded):
        alice.sets_up(body)
    alice.sets_up(body, proof)
    alice.sets_up(body)
    with pytest.raises(ProofNeeded):
        alice.sets_up(alice.cross_signing(seed=150))
    assert alice.queries(alice)[0]["master_keys"][alice.user_id]["keys"] == body["master_key"]["keys"]


def test_the_user_signing_key_is_for_its_owner_only(town: Town) -> None:
    alice, bob = town.server("a").person("alice", "PHONE"), town.server("b").person("bob", "LAPTOP")
    carol = alice.house.person("carol", "C")
    alice.sets_up(alice.cross_signing())
    town.room(ROOM, alice, bob, carol)
    for viewer, sees in ((alice, True), (bob, False), (carol, False)):
        found, _ = viewer.queries(alice)
        assert set(found["master_keys"]) == set(found["self_signing_keys"]) == {alice.user_id}
        assert (alice.user_id in found["user_signing_keys"]) is sees


def test_keys_must_be_signed_by_the_master_key() -> None:
    alice = Town().server("a").person("alice", "PHONE")
    body = alice.cross_signing()
    with pytest.raises(Refused) as refused:
        alice.sets_up({"self_signing_key": body["self_signing_key"]})
    assert refused.value.errcode == "M_MISSING_PARAM"
    other = alice.cross_signing(seed=150)
    for bad in (other["self_signing_key"], {**body["self_signing_key"], "signatures": {}}):
        with pytest.raises(Refused) as refused:
            alice.sets_up({**body, "self_signing_key": bad})
        assert refused.value.errcode == "M_INVALID_SIGNATURE"
    assert alice.queries(alice)[0]["master_keys"] == {}


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": "@bob:a"},
        {"usage": ["self_signing"]},
        {"usage": "master"},
        {"keys": {}},
        {"keys": {"ed25519:a": "b"}},
        {"keys": {"ed25519:short": "short"}},
        {"keys": {"ed25519:x": 1}},
        {"signatures": 5},
        {"float": 1.5},
        {"long": "x" * 20000},
    ],
)
def test_malformed_keys_are_refused(change: dict[str, Any]) -> None:
    alice = Town().server("a").person("alice", "PHONE")
    with pytest.raises(Refused) as refused:
        alice.sets_up({"master_key": {**alice.cross_signing()["master_key"], **change}})
    assert refused.value.status in (400, 413)


def test_a_key_must_not_have_the_id_of_a_device() -> None:
    house = Town().server("a")
    alice = house.person("alice")
    body = alice.cross_signing()
    alice.logs_in(public(body, "master"))
    with pytest.raises(Refused) as refused:
        alice.sets_up(body)
    assert refused.value.status == 403


def ready(town: Town) -> tuple[Person, dict[str, Any], dict[str, Any]]:
    alice = town.server("a").person("alice", "PHONE")
    body = alice.cross_signing()
    keys = alice.publishes("PHONE")
    alice.sets_up(body)
    return alice, body, keys


def test_a_device_is_signed_by_the_self_signing_key(town: Town) -> None:
    alice, _, keys = ready(town)
    bob = town.server("b").person("bob", "LAPTOP")
    town.room(ROOM, alice, bob)
    bob.queries(alice)
    since = bob.now()
    assert alice.adds({alice.user_id: {"PHONE": alice.signs("self_signing", keys)}}) == {}
    town.deliver()
    assert bob.learns(since) == ({alice.user_id}, set())
    for viewer in (alice, bob):
        device = viewer.queries(alice)[0]["device_keys"][alice.user_id]["PHONE"]
        assert set(device["signatures"][alice.user_id]) == {"ed25519:PHONE", alice.keys["self_signing"].id}
        own = alice.keys["self_signing"]
        signing.verify_json(device, alice.user_id, own.id, bytes(own.secret.verify_key))
    assert town.asked == [("a", "devices")]


def test_the_master_key_is_signed_by_a_device(town: Town) -> None:
    alice, body, _ = ready(town)
    bob = town.server("b").person("bob", "LAPTOP")
    town.room(ROOM, alice, bob)
    bob.queries(alice)
    assert alice.adds({alice.user_id: {public(body, "master"): alice.signs("PHONE", body["master_key"])}}) == {}
    town.deliver()
    for viewer in (alice, bob):
        assert "ed25519:PHONE" in viewer.queries(alice)[0]["master_keys"][alice.user_id]["signatures"][alice.user_id]
    assert town.asked == [("a", "devices")]


def test_the_signature_of_another_users_master_key_is_seen_by_its_maker_only(town: Town) -> None:
    alice, _, _ = ready(town)
    bob, carol = town.server("b").person("bob", "LAPTOP"), alice.house.person("carol", "C")
    theirs = bob.cross_signing(seed=180)
    bob.sets_up(theirs)
    town.room(ROOM, alice, bob, carol)
    since = alice.now()
    assert alice.adds({bob.user_id: {public(theirs, "master"): alice.signs("user_signing", theirs["master_key"])}}) == {}
    assert alice.learns(since) == ({bob.user_id}, set())
    for _ in range(2):
        made = alice.queries(bob)[0]["master_keys"][bob.user_id]["signatures"]
        assert list(made[alice.user_id]) == [alice.keys["user_signing"].id]
    for viewer in (carol, bob):
        assert alice.user_id not in viewer.queries(bob)[0]["master_keys"][bob.user_id].get("signatures", {})


def test_the_same_without_a_shared_room(town: Town) -> None:
    alice, _, _ = ready(town)
    bob = town.server("b").person("bob", "LAPTOP")
    theirs = bob.cross_signing(seed=180)
    bob.sets_up(theirs)
    assert alice.adds({bob.user_id: {public(theirs, "master"): alice.signs("user_signing", theirs["master_key"])}}) == {}
    assert alice.user_id in alice.queries(bob)[0]["master_keys"][bob.user_id]["signatures"]


def test_forged_signatures_are_refused_one_by_one(town: Town) -> None:
    alice, body, keys = ready(town)
    bob = alice.house.person("bob", "LAPTOP")
    theirs = bob.cross_signing(seed=180)
    bob.sets_up(theirs)
    alice.logs_in("TABLET")
    tablet = alice.publishes("TABLET", seed=3)
    forged = alice.signs("self_signing", keys)
    forged["signatures"][alice.user_id][alice.keys["self_signing"].id] = "AAAA" * 21
    failures = alice.adds(
        {
            alice.user_id: {
                "PHONE": forged,
                "TABLET": alice.signs("self_signing", tablet),
                "NOWHERE": alice.signs("self_signing", {**keys, "device_id": "NOWHERE"}),
                public(body, "master"): alice.signs("self_signing", body["master_key"]),
            },
            bob.user_id: {
                "LAPTOP": alice.signs("user_signing", {"user_id": bob.user_id}),
                public(theirs, "master"): alice.signs("user_signing", {**theirs["master_key"], "usage": ["master", "more"]}),
            },
            "@nobody:a": {"key": {}},
        }
    )
    assert {user: {key: error["errcode"] for key, error in keys.items()} for user, keys in failures.items()} == {
        alice.user_id: {
            "PHONE": "M_INVALID_SIGNATURE",
            "NOWHERE": "M_NOT_FOUND",
            public(body, "master"): "M_INVALID_SIGNATURE",
        },
        bob.user_id: {"LAPTOP": "M_NOT_FOUND", public(theirs, "master"): "M_INVALID_SIGNATURE"},
        "@nobody:a": {"key": "M_NOT_FOUND"},
    }
    assert list(alice.queries(alice)[0]["device_keys"][alice.user_id]["PHONE"]["signatures"][alice.user_id]) == ["ed25519:PHONE"]


def test_signatures_end_with_the_keys_they_sign_and_the_keys_they_were_made_with(town: Town) -> None:
    alice, _, keys = ready(town)
    alice.adds({alice.user_id: {"PHONE": alice.signs("self_signing", keys)}})
    alice.publishes("PHONE", seed=7)
    assert list(alice.queries(alice)[0]["device_keys"][alice.user_id]["PHONE"]["signatures"][alice.user_id]) == ["ed25519:PHONE"]
    alice.adds({alice.user_id: {"PHONE": alice.signs("self_signing", alice.identity("PHONE", 7))}})
    new = alice.cross_signing(seed=150)
    alice.sets_up({"master_key": new["master_key"]}, proof)
    found, _ = alice.queries(alice)
    assert list(found["device_keys"][alice.user_id]["PHONE"]["signatures"][alice.user_id]) == ["ed25519:PHONE"]
    assert found["self_signing_keys"] == found["user_signing_keys"] == {}


def test_other_servers_follow_new_cross_signing_keys(town: Town) -> None:
    alice, _, _ = ready(town)
    bob = town.server("b").person("bob", "LAPTOP")
    town.room(ROOM, alice, bob)
    bob.queries(alice)
    since = bob.now()
    new = alice.cross_signing(seed=150)
    alice.sets_up(new, proof)
    assert [edu_type for _, edu_type, _ in town.deliver()] == ["m.signing_key_update"]
    assert bob.learns(since) == ({alice.user_id}, set())
    assert bob.queries(alice)[0]["master_keys"][alice.user_id]["keys"] == new["master_key"]["keys"]
    assert town.asked == [("a", "devices")]


def test_a_self_signing_key_of_another_server_must_be_signed_by_its_master_key(town: Town) -> None:
    alice, body, _ = ready(town)
    bob = town.server("b").person("bob", "LAPTOP")
    town.room(ROOM, alice, bob)
    bob.queries(alice)
    other = alice.cross_signing(seed=150)
    content = {"user_id": alice.user_id, "master_key": body["master_key"], "self_signing_key": other["self_signing_key"]}
    bob.house.hears("a", "m.signing_key_update", content)
    assert bob.queries(alice)[0]["self_signing_keys"] == {}
