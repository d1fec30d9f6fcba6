"""Passwords, deactivation, moderation, addresses."""

import re
from dataclasses import dataclass, field
from typing import Any

from homeserver.settings import Email, Registration
from tests.api.people import PASSWORD, logs_in, refused, registers, secret
from tests.world import Client, Home, Network, good, story


@story
async def test_a_new_password_ends_other_sessions(network: Network) -> None:
    home = network.server("a")
    alice, other = await registers(home, "alice"), await logs_in(home, "alice")
    good(await other.get("/account/whoami"))
    good(await alice.post("/account/password", {"new_password": "new one", "auth": secret("alice")}))
    refused(await home.stranger().post("/login", secret("alice")), 403, "M_FORBIDDEN")
    refused(await other.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    good(await alice.get("/account/whoami"))
    assert [one["device_id"] for one in good(await alice.get("/devices"))["devices"]] == [alice.device_id]

    kept = await logs_in(home, "alice", "new one")
    change = {"new_password": "third", "logout_devices": False, "auth": secret("alice", "new one")}
    good(await alice.post("/account/password", change))
    good(await kept.get("/account/whoami"))


@story
async def test_without_a_token_the_password_is_proof_enough(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice")
    good(await home.stranger().post("/account/password", {"new_password": "new one", "auth": secret("alice")}))
    refused(await alice.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    refused(await home.stranger().post("/account/deactivate", {"auth": secret("alice")}), 401, "M_FORBIDDEN")
    good(await home.stranger().post("/account/deactivate", {"auth": secret("alice", "new one")}))


@story
async def test_weak_and_odd_passwords(network: Network) -> None:
    home = network.server("a")
    alice = await registers(home, "alice")
    refused(await alice.post("/account/password", {"new_password": "", "auth": secret("alice")}), 400, "M_WEAK_PASSWORD")
    refused(await alice.post("/account/password", {"new_password": "x" * 600, "auth": secret("alice")}), 400, "M_INVALID_PARAM")
    refused(await alice.post("/account/password", {"new_password": 5}), 400, "M_BAD_JSON")
    good(await alice.post("/account/password", {"new_password": "u\u0308bers3kr1t", "auth": secret("alice")}))
    await logs_in(home, "alice", "\u00fcbers3kr1t")  # the same letters from another keyboard


@story
async def test_the_end_of_an_account(network: Network) -> None:
    home = network.server("a")
    alice, other = await registers(home, "alice"), await logs_in(home, "alice")
    good(await alice.put("/user/@alice:a/account_data/x", {"mine": 1}))
    refused(await alice.post("/account/deactivate", {"auth": secret("alice", "wrong")}), 401, "M_FORBIDDEN")
    answer = good(await alice.post("/account/deactivate", {"erase": True, "auth": secret("alice")}))
    assert answer == {"id_server_unbind_result": "success"}
    for client in (alice, other):
        refused(await client.get("/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    refused(await home.stranger().post("/login", secret("alice")), 403, "M_FORBIDDEN")
    refused(await home.stranger().get("/profile/@alice:a"), 404, "M_NOT_FOUND")
    refused(await home.stranger().get("/register/available", username="alice"), 400, "M_USER_IN_USE")  # nobody can become her
    left = await home.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM account_data"))
    assert left == 0


@story
async def test_locked_and_suspended(network: Network) -> None:
    home = network.server("a")
    root, alice = await home.user("root", admin=True), await registers(home, "alice")
    lock, suspend = "/_matrix/client/v1/admin/lock/@alice:a", "/_matrix/client/v1/admin/suspend/@alice:a"
    for page in (lock, suspend):
        refused(await alice.get(page), 403, "M_FORBIDDEN")
    assert good(await root.get(lock)) == {"locked": False}
    good(await alice.get("/account/whoami"))

    good(await root.put(lock, {"locked": True}))
    assert refused(await alice.get("/account/whoami"), 401, "M_USER_LOCKED")["soft_logout"] is True
    refused(await home.stranger().post("/login", secret("alice")), 401, "M_USER_LOCKED")
    good(await root.put(lock, {"locked": False}))
    good(await alice.get("/account/whoami"))

    good(await root.put(suspend, {"suspended": True}))
    refused(await alice.put("/profile/@alice:a/displayname", {"displayname": "A"}), 403, "M_USER_SUSPENDED")
    good(await alice.get("/account/whoami"))
    refused(await root.put("/_matrix/client/v1/admin/lock/@root:a", {"locked": True}), 403, "M_FORBIDDEN")
    refused(await root.put("/_matrix/client/v1/admin/lock/@x:b", {"locked": True}), 400, "M_INVALID_PARAM")
    refused(await root.get("/_matrix/client/v1/admin/lock/@x:a"), 404, "M_NOT_FOUND")
    good(await root.put(lock, {"locked": True}))
    good(await alice.post("/logout"))


@dataclass
class Letters:
    """The letters that were sent: to whom, and the text."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    async def send(self, to: str, subject: str, text: str) -> None:
        self.sent.append((to, text))

    def link(self) -> str:
        """The link in the newest letter, without the server."""
        found = re.search(r"https?://[^/]+(\S+)", self.sent[-1][1])
        assert found, self.sent[-1]
        return found[1]


def mailing(network: Network, **changes: Any) -> tuple[Home, Letters]:
    letters = Letters()
    network.post = letters
    return network.server("a", email=Email(host="mail", sender="a <noreply@a>"), **changes), letters


async def proves(anybody: Client, page: str, email: str, letters: Letters, secret: str = "s3cret") -> dict[str, str]:
    sid = good(await anybody.post(page, {"client_secret": secret, "email": email, "send_attempt": 1}))["sid"]
    good_page = await anybody.request("GET", letters.link())
    assert good_page.status == 200 and b"Confirm" in good_page.raw
    assert (await anybody.request("POST", letters.link(), b"")).status == 200
    return {"sid": sid, "client_secret": secret}


@story
async def test_an_address_is_added_by_who_reads_it(network: Network) -> None:
    home, letters = mailing(network)
    alice, bob = await registers(home, "alice"), await registers(home, "bob")
    page = "/account/3pid/email/requestToken"
    sid = good(await alice.post(page, {"client_secret": "x", "email": "Alice@Mail.org", "send_attempt": 1}))["sid"]
    unproven = {"sid": sid, "client_secret": "x", "auth": secret("alice")}
    refused(await alice.post("/account/3pid/add", unproven), 403, "M_THREEPID_AUTH_FAILED")
    # A visit (of a program that looks at links) is not a click, and a made-up token is none.
    assert (await alice.request("GET", letters.link())).status == 200
    assert (await alice.request("POST", letters.link() + "x", b"")).status == 400
    refused(await alice.post("/account/3pid/add", unproven), 403, "M_THREEPID_AUTH_FAILED")
    assert (await alice.request("POST", letters.link(), b"")).status == 200
    refused(await alice.post("/account/3pid/add", {**unproven, "client_secret": "y"}), 403, "M_THREEPID_AUTH_FAILED")
    good(await alice.post("/account/3pid/add", unproven))
    mine = good(await alice.get("/account/3pid"))["threepids"]
    assert [(one["medium"], one["address"]) for one in mine] == [("email", "alice@mail.org")]

    # It is hers now; who asks does not learn it, who reads the mail does.
    good(await bob.post(page, {"client_secret": "b", "email": "alice@mail.org", "send_attempt": 1}))
    assert "@alice:a" in letters.sent[-1][1] and "http" not in letters.sent[-1][1]
    by_mail = {"type": "m.login.password", "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "ALICE@mail.org"}}
    assert good(await bob.post("/login", {**by_mail, "password": PASSWORD}))["user_id"] == "@alice:a"
    good(await alice.post("/account/3pid/delete", {"medium": "email", "address": "alice@MAIL.org"}))
    refused(await bob.post("/login", {**by_mail, "password": PASSWORD}), 403, "M_FORBIDDEN")


@story
async def test_a_forgotten_password(network: Network) -> None:
    home, letters = mailing(network)
    alice = await registers(home, "alice")
    await proves(alice, "/account/3pid/email/requestToken", "a@b.c", letters)
    creds = {"sid": "", "client_secret": "s3cret"} | await proves(alice, "/account/3pid/email/requestToken", "a@b.c", letters, "t")
    good(await alice.post("/account/3pid/add", {**creds, "auth": secret("alice")}))

    # The proof for adding an address is not one for a new password: also not for who stole a token.
    creds = await proves(alice, "/account/3pid/email/requestToken", "x@y.z", letters, "u")
    stage = {"type": "m.login.email.identity", "threepid_creds": creds}
    refused(await alice.post("/account/password", {"new_password": "evil", "auth": stage}), 403, "M_FORBIDDEN")
    refused(await home.stranger().post("/account/password", {"new_password": "evil", "auth": stage}), 403, "M_FORBIDDEN")

    stage["threepid_creds"] = await proves(home.stranger(), "/account/password/email/requestToken", "a@b.c", letters, "v")
    good(await home.stranger().post("/account/password", {"new_password": "remembered", "auth": stage}))
    await logs_in(home, "alice", "remembered")
    # Who has no account is told by mail, and only so.
    good(await home.stranger().post("/account/password/email/requestToken", {"client_secret": "w", "email": "no@b.c", "send_attempt": 1}))
    assert "no account" in letters.sent[-1][1]


@story
async def test_an_address_may_be_needed_to_register(network: Network) -> None:
    home, letters = mailing(network, registration=Registration(mode="open", require_email=True))
    anybody, body = home.stranger(), {"username": "alice", "password": "p"}
    assert (await anybody.post("/register", body)).json["flows"] == [{"stages": ["m.login.email.identity"]}]
    stage: dict[str, Any] = {"type": "m.login.email.identity", "threepid_creds": {"sid": "x", "client_secret": "y"}}
    refused(await anybody.post("/register", {**body, "auth": stage}), 401, "M_UNAUTHORIZED")
    stage["threepid_creds"] = await proves(anybody, "/register/email/requestToken", "a@b.c", letters)
    alice = home.stranger(good(await anybody.post("/register", {**body, "auth": stage}))["access_token"])
    assert good(await alice.get("/account/3pid"))["threepids"][0]["address"] == "a@b.c"
    refused(await anybody.post("/register", {**body, "username": "bob", "auth": stage}), 400, "M_THREEPID_IN_USE")


@story
async def test_no_mail_twice_for_one_attempt_and_none_where_there_is_no_server(network: Network) -> None:
    home, letters = mailing(network)
    wish = {"client_secret": "x", "email": "a@b.c", "send_attempt": 1}
    first = good(await home.stranger().post("/register/email/requestToken", wish))
    assert good(await home.stranger().post("/register/email/requestToken", wish)) == first and len(letters.sent) == 1
    good(await home.stranger().post("/register/email/requestToken", {**wish, "send_attempt": 2}))
    assert len(letters.sent) == 2
    for bad in ["a", "a@", "@b", "a b@c.d", "a@b\nBcc: x@y.z", "<a@b>"]:
        refused(await home.stranger().post("/register/email/requestToken", {**wish, "email": bad}), 400, "M_INVALID_EMAIL")
    refused(await home.stranger().post("/register/email/requestToken", {**wish, "client_secret": "ö"}), 400, "M_INVALID_PARAM")
    refused(await home.stranger().post("/register/email/requestToken", {**wish, "next_link": "javascript:x"}), 400, "M_INVALID_PARAM")

    network.post = None
    silent = network.server("b")
    refused(await silent.stranger().post("/register/email/requestToken", wish), 403, "M_THREEPID_DENIED")
    refused(await (await silent.user("x")).post("/account/3pid/bind", {}), 403, "M_THREEPID_DENIED")
