"""Keys are found, kept, renewed, and never believed beyond their time."""

from typing import Any

import pytest

from homeserver.events import drafts, event, signing, versions
from homeserver.events.drafts import Draft
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.events.signing import Key
from homeserver.federation import key_documents
from homeserver.federation.transport import Answer
from homeserver.identity import FormerKey, Identity
from tests.federation.network import DAY, Member, Network, json

ROOM = RoomID("!r:a.example")
OTHER = Key.of_seed("ed25519:2", b"2" * 32)


def message(by: Member, text: str = "hi", *, version: str = "10", ts: int | None = None) -> Event:
    """A signed message of somebody on that server."""
    kind = versions.get(version)
    draft = Draft("m.room.message", UserID(f"@u:{by.name}"), {"body": text})
    data = drafts.complete(kind, draft, ROOM, ["$p"], ["$a"], 5, by.clock.now() if ts is None else ts)
    return event.read(kind, by.identity.sign_event(kind, data))


def verified(network: Network, by: Member, what: Event) -> bool:
    try:
        network.run(by.keyring.verify_event(what), 60)
    except BadSignature:
        return False
    return True


def test_a_key_is_asked_for_once_and_kept_over_a_restart() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    assert all(verified(network, b, message(a, str(number))) for number in range(5))
    again = network.server("b.example")
    again.keyring._database = b.database  # the same database, a new process
    network.down.add("a.example")
    assert verified(network, again, message(a))
    assert network.asked("a.example GET /_matrix/key") == 1


def test_many_events_of_many_servers_are_verified_side_by_side() -> None:
    network = Network()
    b = network.server("b.example")
    others = [network.server(f"s{number}.example") for number in range(20)]
    events = [message(other, str(number)) for other in others for number in range(20)]
    forged = event.read(events[0].version, {**events[0].data, "origin_server_ts": 7})
    network.down.add("s7.example")
    problems = network.run(b.keyring.verify_events([*events, forged]), 60)
    assert set(problems) == {each.event_id for each in events if each.sender.domain == "s7.example"} | {forged.event_id}
    assert network.asked("/key/v2/server") == 20


def test_a_server_that_is_down_is_not_asked_for_each_event() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    network.down.add("a.example")
    assert not any(verified(network, b, message(a, str(number))) for number in range(20))
    assert network.asked("/key/v2/server") == 1
    network.down.clear()
    network.reactor.advance(11)
    assert verified(network, b, message(a))


def test_an_unknown_key_id_does_not_make_us_ask_again_and_again() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    assert verified(network, b, message(a))
    stranger = Member(Identity(a.name, OTHER), a.database, a.clock, a.backoff, a.peers, a.keyring, a.authentication, a.router)
    for number in range(10):
        assert not verified(network, b, message(stranger, str(number)))
    assert network.asked("/key/v2/server") == 1


def test_keys_come_from_a_notary_when_the_server_is_down() -> None:
    network = Network()
    a, notary = network.server("a.example"), network.server("n.example")
    assert verified(network, notary, message(a))
    network.down.add("a.example")
    b = network.server("b.example", notaries=("n.example",))
    assert verified(network, b, message(a))


def test_a_black_hole_is_no_obstacle_where_a_notary_knows() -> None:
    network = Network()
    a, notary = network.server("a.example"), network.server("n.example")
    assert verified(network, notary, message(a))
    network.holes.add("a.example")
    b = network.server("b.example", notaries=("n.example",))
    network.run(b.keyring.verify_event(message(a)), 0)


def test_a_notary_cannot_invent_keys_nor_speak_for_another_notary() -> None:
    network = Network()
    a, evil = network.server("a.example"), network.server("evil.example")
    forger = Identity(a.name, OTHER)
    document = evil.identity.sign_json(key_documents.publish(forger, network.clock.now() + DAY * 1000))
    unsigned = {**document, "signatures": {"evil.example": document["signatures"]["evil.example"]}}
    for forged in (document, unsigned):
        network.answers["evil.example"] = lambda out, forged=forged: (
            json({"server_keys": [forged]}) if out.method == "POST" else json(key_documents.publish(evil.identity, 2 * 10**12))
        )
        b = network.server("b.example", notaries=("n2.example", "evil.example"))
        assert verified(network, b, message(a))  # from the server itself
        assert b.keyring._known["a.example"]["ed25519:1"].public == bytes(a.identity.key.secret.verify_key)
        if forged is unsigned:
            assert "ed25519:2" not in b.keyring._known["a.example"]


def test_a_key_is_good_for_its_time_and_for_a_week_at_most() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    now = network.clock.now()
    network.answers["a.example"] = lambda _: json(key_documents.publish(a.identity, now + 365 * DAY * 1000))
    assert verified(network, b, message(a))
    assert verified(network, b, message(a, ts=now + 6 * DAY * 1000))
    assert not verified(network, b, message(a, ts=now + 8 * DAY * 1000))
    assert verified(network, b, message(a, ts=now + 8 * DAY * 1000, version="4"))  # older rooms do not mind


def test_a_key_is_renewed_when_its_time_is_over() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    assert verified(network, b, message(a))
    network.reactor.advance(30 * 3600)
    assert verified(network, b, message(a))
    assert network.asked("a.example GET /_matrix/key") == 2


def test_a_former_key_proves_what_is_older_than_its_end() -> None:
    network = Network()
    old = network.server("a.example")
    before = message(old)
    retired = Identity(old.name, OTHER, former=(FormerKey(old.identity.key, network.clock.now() + 1000),))
    network.answers["a.example"] = lambda _: json(key_documents.publish(retired, network.clock.now() + DAY * 1000))
    b = network.server("b.example")
    assert verified(network, b, before)
    assert not verified(network, b, message(old, ts=network.clock.now() + 2000))


def test_requests_need_a_key_that_is_in_use() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    retired = Identity(a.name, OTHER, former=(FormerKey(a.identity.key, network.clock.now() - 1000),))
    network.answers["a.example"] = lambda _: json(key_documents.publish(retired, network.clock.now() + DAY * 1000))
    with pytest.raises(BadSignature):
        network.run(b.keyring.verify_json(a.name, a.identity.sign_json({"x": 1})))
    network.run(b.keyring.verify_json(a.name, retired.sign_json({"x": 1})))


def test_unknown_keys_on_an_event_do_not_matter_but_a_wrong_signature_does() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    good = message(a)
    policy = signing.sign(good.version, good.data, "a.example", Key.of_seed("ed25519:policy_server", b"p" * 32))
    assert verified(network, b, event.read(good.version, policy))
    data = good.data
    data["signatures"]["a.example"]["ed25519:1"] = data["signatures"]["a.example"]["ed25519:1"][:-4] + "AAAA"
    assert not verified(network, b, event.read(good.version, data))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data | {"server_name": "b.example"},
        lambda data: data | {"valid_until_ts": "soon"},
        lambda data: data | {"signatures": {}},
        lambda data: data | {"verify_keys": {"ed25519:1": {"key": "AAAA"}}},
        lambda data: data | {"verify_keys": {}},
        lambda data: [data],
    ],
)
def test_a_broken_document_is_refused(spoil: Any) -> None:
    document = key_documents.publish(Identity(ServerName("a.example"), OTHER), 5)
    with pytest.raises((Malformed, BadSignature)):
        key_documents.read(spoil(document), 0)


def test_the_key_server_lists_what_signs_and_what_once_did() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    document = network.run(b.peers.server_keys(a.name))
    assert document["server_name"] == "a.example" and list(document["verify_keys"]) == ["ed25519:1"] and document["old_verify_keys"] == {}
    assert key_documents.read(document, network.clock.now()).server == "a.example"


def test_the_notary_signs_what_it_hands_on_and_keeps_it_when_the_server_is_gone() -> None:
    network = Network()
    a, n, b = network.server("a.example"), network.server("n.example"), network.server("b.example")
    now = network.clock.now()

    def ask() -> list[Any]:
        return network.run(b.peers.query_server_keys(n.name, {a.name: {"ed25519:1": now}, ServerName("gone.example"): {}}), 60)

    (document,) = ask()
    assert set(document["signatures"]) == {"a.example", "n.example"}
    network.down.add("a.example")
    network.reactor.advance(40 * 3600)
    assert ask() == [document]
    one: Answer = network.run(b.peers.ask(n.name, "GET", "/_matrix/key/v2/query/a.example?minimum_valid_until_ts=5"), 60)
    assert one == {"server_keys": [document]}
