"""What acts about keys cost in statements: these numbers are promises.  A time is never tested."""

from typing import Any

from tests.world import Client, Network, good, story


def upload(client: Client, first: int) -> dict[str, Any]:
    """Fifty one-time keys."""
    signed = {client.user_id: {f"ed25519:{client.device_id}": "s" * 86}}
    return {"one_time_keys": {f"signed_curve25519:{number}": {"key": "k", "signatures": signed} for number in range(first, first + 50)}}


@story
async def test_keys_of_many_cost_what_keys_of_few_cost(network: Network) -> None:
    a = network.server("a")
    users = [await a.user(f"user{number}") for number in range(12)]
    database = a.server.database

    def statements() -> int:
        return database.counts.statements

    for user in users:
        good(await user.post("/keys/upload", upload(user, 0)))
    before = statements()
    assert good(await users[0].post("/keys/upload", upload(users[0], 50)))["one_time_key_counts"] == {"signed_curve25519": 100}
    assert statements() - before <= 6
    costs = []
    for some in (users[:3], users):
        before, acts = statements(), database.counts.acts
        claims = {"one_time_keys": {user.user_id: {user.device_id or "": "signed_curve25519"} for user in some}}
        assert len(good(await users[0].post("/keys/claim", claims))["one_time_keys"]) == len(some)
        assert database.counts.acts == acts + 1
        middle = statements()
        query = {"device_keys": {user.user_id: [] for user in some}}
        assert len(good(await users[0].post("/keys/query", query))["device_keys"]) == len(some)
        costs.append((middle - before, statements() - middle))
    assert costs[0] == costs[1] and costs[1][0] <= 2 and costs[1][1] <= 4


@story
async def test_a_message_to_many_devices_costs_what_one_to_few_costs(network: Network) -> None:
    a = network.server("a")
    users = [await a.user(f"user{number}") for number in range(36)]
    database, sent = a.server.database, 0

    async def cost(some: list[Client]) -> int:
        nonlocal sent
        before, sent = database.counts, sent + 1
        good(await users[0].put(f"/sendToDevice/org.test/{sent}", {"messages": {user.user_id: {"*": {"n": sent}} for user in some}}))
        assert database.counts.acts == before.acts + 1
        return database.counts.statements - before.statements

    for some in (users[:4], users[:4], users[4:8]):
        await cost(some)
    few, many = await cost(users[8:12]), await cost(users[12:])
    assert many <= min(few, 9)  # the first message makes the inboxes
    few, many = await cost(users[:4]), await cost(users)
    assert many <= min(few, 6)
    for user in users:
        assert [event["content"]["n"] for event in good(await user.get("/sync"))["to_device"]["events"]][-1] == sent
