-- Sliding sync: what each connection has been told.  docs/decisions/0011-sliding-sync.md

CREATE TABLE sliding_connections (
    id BIGINT PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    -- conn_id of the client
    name TEXT NOT NULL,
    -- to the day
    used_ts BIGINT NOT NULL
);
CREATE UNIQUE INDEX sliding_connections_by_name ON sliding_connections (user_id, device_id, name);
CREATE INDEX sliding_connections_by_use ON sliding_connections (used_ts);

-- One row per answer that told something new about what the client has: the whole of it (no parent), or what differs from the parent.
CREATE TABLE sliding_states (
    connection BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    parent BIGINT,
    state BYTES NOT NULL,
    PRIMARY KEY (connection, generation)
);

-- The receipts that a short timeline needs.
CREATE INDEX receipts_by_event ON receipts (room_id, event_id);
