-- How far users say they have read.  One row per user, type and thread ('' where the receipt is for the whole room).

CREATE TABLE receipts (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    type TEXT NOT NULL,
    thread TEXT NOT NULL,
    event_id TEXT NOT NULL,
    -- the place of the event; null while it is not here
    major BIGINT,
    minor BIGINT,
    ts BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id, type, thread)
);
CREATE INDEX receipts_by_position ON receipts (room_id, position);
