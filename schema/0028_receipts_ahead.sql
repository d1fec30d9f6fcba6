-- Receipts for events that are not here yet: kept until these arrive, and moved to them unless the reader is further already.
CREATE TABLE receipts_ahead (
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    type TEXT NOT NULL,
    thread TEXT NOT NULL,
    ts BIGINT NOT NULL,
    -- which came later: of one user in a room only the last few are kept
    num BIGINT NOT NULL,
    PRIMARY KEY (room_id, event_id, user_id, type, thread)
);
CREATE INDEX receipts_ahead_of_user ON receipts_ahead (room_id, user_id, num);
