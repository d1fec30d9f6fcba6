"""What stories about accounts do again and again: registering, logging in, proving who one is."""

from dataclasses import replace
from typing import Any

from homeserver.events.identifiers import UserID
from tests.world import Client, Home, Reply, good

DUMMY = {"type": "m.login.dummy"}
PASSWORD = "correct horse"


def named(user: str) -> dict[str, str]:
    """The identifier of a user."""
    return {"type": "m.id.user", "user": user}


def secret(user: str, password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    """A password as proof."""
    return {"type": "m.login.password", "identifier": named(user), "password": password, **more}


async def registers(home: Home, username: str, password: str = PASSWORD, **more: Any) -> Client:
    """A new account, made by a client as clients do."""
    answer = good(await home.stranger().post("/register", {"username": username, "password": password, "auth": DUMMY, **more}))
    return Client(home, UserID(answer["user_id"]), answer["access_token"], answer["device_id"])


async def logs_in(home: Home, username: str, password: str = PASSWORD, **more: Any) -> Client:
    """A further session."""
    answer = good(await home.stranger().post("/login", secret(username, password, **more)))
    return Client(home, UserID(answer["user_id"]), answer["access_token"], answer["device_id"])


def with_token(client: Client, token: str) -> Client:
    """The same client with another token."""
    return replace(client, token=token)


def refused(reply: Reply, status: int, errcode: str) -> Any:
    """The JSON of an answer that must be this refusal."""
    assert (reply.status, reply.json.get("errcode")) == (status, errcode), reply[:2]
    return reply.json
