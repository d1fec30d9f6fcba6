"""Invitations by e-mail: the rules check the identity server's signature by themselves."""


import pytest

from homeserver.events import rules, signing
from homeserver.events.errors import Denied
from tests.bounded import calls
from tests.events.rooms import ALICE, BOB, CAROL, Room

IDENTITY = signing.Key.of_seed("ed25519:0", b"i" * 32)
STRANGER = signing.Key.of_seed("ed25519:0", b"s" * 32)


def room_with_offer(version="12", **content):
    room = Room(version).settled("invite")
    content = content or {"display_name": "b...", "public_key": IDENTITY.public, "key_validity_url": "https://id.example"}
    room.send(ALICE, "m.room.third_party_invite", content, "token")
    return room


def signed(key=IDENTITY, mxid=BOB, token="token", **more):
    return signing.sign_json({"mxid": mxid, "token": token, **more}, "id.example", key)


def check(room, invite, sender=ALICE, target=BOB):
    draft = room.draft(sender, "m.room.member", {"membership": "invite"}, target)
    rules.check(draft.replace(content={"membership": "invite", "third_party_invite": invite}), room.state)


@pytest.mark.parametrize("version", ["1", "6", "12"])
def test_a_good_signature_invites(version):
    check(room_with_offer(version), {"display_name": "bob", "signed": signed()})


def test_the_key_may_stand_in_a_list_and_need_not_be_padded():
    listed = [None, {}, {"public_key": 5}, {"public_key": "?"}, {"public_key": STRANGER.public}, {"public_key": IDENTITY.public + "="}]
    check(room_with_offer(public_keys=listed), {"signed": signed()})
    check(room_with_offer(public_key="?", public_keys=listed), {"signed": signed()})


def test_whoever_made_the_offer_need_not_be_in_the_room_any_more():
    room = room_with_offer()
    room.leave(ALICE)
    check(room, {"signed": signed()})


@pytest.mark.parametrize(
    "invite",
    [
        None, 5, [], {}, {"signed": None}, {"signed": {}}, {"signed": {"mxid": BOB}}, {"signed": {"token": "token"}},
        {"signed": {"mxid": BOB, "token": "token"}}, {"signed": {"mxid": BOB, "token": "token", "signatures": 5}},
        {"signed": {"mxid": BOB, "token": "token", "signatures": {"id.example": {"ed25519:0": "A" * 86}}}},
        {"signed": {**signed(), "signatures": {"id.example": 5}}}, {"signed": {**signed(), "signatures": {"a": {"b": None}}}},
        {"signed": signed(STRANGER)}, {"signed": signed(mxid=CAROL)}, {"signed": {**signed(), "mxid": CAROL}},
        {"signed": signed(token="other")}, {"signed": signed(token=5)}, {"signed": {**signed(), "more": 1}},
    ],
)  # fmt: skip
def test_anything_else_does_not(invite):
    with pytest.raises(Denied):
        check(room_with_offer(), invite)


def test_only_who_made_the_offer_may_use_it():
    room = room_with_offer()
    room.invite(ALICE, CAROL)
    room.join(CAROL)
    with pytest.raises(Denied):
        check(room, {"signed": signed()}, sender=CAROL)


def test_the_banned_stay_banned():
    room = room_with_offer()
    room.ban(ALICE, BOB)
    with pytest.raises(Denied):
        check(room, {"signed": signed()})


def test_an_offer_takes_the_power_to_invite():
    room = Room("12").settled("public", invite=50)
    room.join(BOB)
    with pytest.raises(Denied):
        room.send(BOB, "m.room.third_party_invite", {"public_key": IDENTITY.public}, "token")


def test_a_flood_of_keys_and_signatures_costs_little():
    keys = [{"public_key": signing.Key.of_seed("ed25519:0", bytes([number]) * 32).public} for number in range(250)]
    flood = {**signed(), "signatures": {"x": {f"ed25519:{number}": "A" * 86 for number in range(500)}}}
    room = room_with_offer(public_keys=keys)

    def refused() -> None:
        with pytest.raises(Denied):
            check(room, {"signed": flood})

    # Each signature with each key would be 125,000 verifications.
    assert calls(refused) < 20_000
