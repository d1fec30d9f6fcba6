-- Events that are to be sent later, unless somebody says otherwise.  MSC4140
CREATE TABLE delayed_events (
    delay_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- transaction ids are counted for the device, as with events that are sent at once; null for what has none
    device_id TEXT NOT NULL,
    txn_id TEXT,
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    content BYTES NOT NULL,
    delay BIGINT NOT NULL,
    running_since BIGINT NOT NULL,
    -- when it is due, or when it ended (ms)
    due_ts BIGINT NOT NULL,
    -- waiting, sending, sent, cancelled or failed; what has ended is kept for a day
    status TEXT NOT NULL
);
CREATE INDEX delayed_events_due ON delayed_events (status, due_ts);
CREATE INDEX delayed_events_of_user ON delayed_events (user_id, status, running_since);
CREATE INDEX delayed_events_of_state ON delayed_events (room_id, type, state_key) WHERE state_key IS NOT NULL;
CREATE UNIQUE INDEX delayed_events_by_transaction ON delayed_events (user_id, device_id, room_id, type, txn_id) WHERE txn_id IS NOT NULL;
