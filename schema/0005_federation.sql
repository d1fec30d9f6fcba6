-- Other servers: their keys, how reachable they are, what waits for them, what came from them.

-- Keys that other servers published.  A key stays when it is published no more: old events are signed with it.
CREATE TABLE server_keys (
    server TEXT NOT NULL,
    key_id TEXT NOT NULL,
    public_key BYTES NOT NULL,
    -- good for what was signed until then, at most seven days after it was read (ms)
    valid_until BIGINT NOT NULL,
    -- when the server stopped using it, or null
    expired_at BIGINT,
    fetched_at BIGINT NOT NULL,
    -- the signed document it comes from, for those who ask us as a notary
    document BYTES NOT NULL,
    PRIMARY KEY (server, key_id)
);

-- One row per server that could not be reached, or that is owed what is not in memory.
CREATE TABLE destinations (
    server TEXT PRIMARY KEY,
    -- attempts that failed in a row, since when, and when the next one is due (ms); 0 when all is well
    failures BIGINT NOT NULL,
    failing_since BIGINT NOT NULL,
    retry_at BIGINT NOT NULL,
    -- it has all events up to this token; null: it is owed none
    delivered TEXT
);
CREATE INDEX destinations_failing ON destinations (retry_at) WHERE failures > 0;
CREATE INDEX destinations_owed ON destinations (server) WHERE delivered IS NOT NULL;

-- All events and EDUs up to this token have been delivered, but for what `destinations` says.  One row.
CREATE TABLE outbox_progress (
    one SMALLINT PRIMARY KEY,
    token TEXT NOT NULL
);

-- EDUs that must arrive, in order; of those with the same key only the latest is kept.
CREATE TABLE outgoing_edus (
    server TEXT NOT NULL,
    position BIGINT NOT NULL,
    edu_type TEXT NOT NULL,
    key TEXT,
    content BYTES NOT NULL,
    PRIMARY KEY (server, position)
);
CREATE UNIQUE INDEX outgoing_edus_by_key ON outgoing_edus (server, key) WHERE key IS NOT NULL;
CREATE INDEX outgoing_edus_by_position ON outgoing_edus (position);

-- What a server missed is read room by room.
CREATE INDEX events_outgoing_by_room ON events (room_id, position) WHERE destinations IS NOT NULL;

-- What a server refuses and what would block all that comes after it.
CREATE TABLE set_aside (
    server TEXT NOT NULL,
    item TEXT NOT NULL,
    reason TEXT NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (server, item)
);

-- Transactions received, each with its answer: the same again, the same answer again.
CREATE TABLE received_transactions (
    origin TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    answer BYTES NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (origin, txn_id)
);
CREATE INDEX received_transactions_by_ts ON received_transactions (ts);

-- Events received and answered for, but not yet part of their room.
CREATE TABLE inbox (
    room_id TEXT NOT NULL,
    num BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    pdu BYTES NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (room_id, num)
);
CREATE UNIQUE INDEX inbox_by_event ON inbox (room_id, event_id);
CREATE INDEX inbox_by_origin ON inbox (room_id, origin, num);
