"""Who was told, and has told us, that somebody is out of date.  Tells nobody."""

from homeserver.storage.transactions import Transaction


def first(txn: Transaction, server: str, told: bool, room_id: str, kind: str, now: int, most: int) -> bool:
    """Whether this is the first time with this server, room and type of event; from now on it was.  False beyond `most` of a server."""
    known = txn.all(
        "SELECT room_id, type FROM swarm_notices WHERE server = :server AND told = :told LIMIT :most",
        server=server, told=int(told), most=most,
    )  # fmt: skip
    if len(known) >= most or (room_id, kind) in known:
        return False
    return txn.run(
        "INSERT INTO swarm_notices (server, told, room_id, type, ts) VALUES (:server, :told, :room, :type, :now)"
        " ON CONFLICT (server, told, room_id, type) DO NOTHING",
        server=server, told=int(told), room=room_id, type=kind, now=now,
    ) > 0  # fmt: skip


def forget(txn: Transaction, before: int) -> None:
    """Forget what was said long ago."""
    txn.run("DELETE FROM swarm_notices WHERE ts < :before", before=before)
