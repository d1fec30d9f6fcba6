-- A user's wish for the key of a room, on every server of the room: until the requester has the key, withdraws, or 30 days have passed.
CREATE TABLE key_requests (
    room_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    public_key TEXT NOT NULL,
    -- when this server wrote it down (ms)
    ts BIGINT NOT NULL,
    -- who approved it; null while it is pending
    approver TEXT,
    -- the key, encrypted for the device: on the requester's server only
    sealed BYTES,
    PRIMARY KEY (room_id, request_id)
);
CREATE INDEX key_requests_of_user ON key_requests (user_id, room_id);
CREATE INDEX key_requests_by_age ON key_requests (ts);

-- What a local user approved and the requester's server decides: `waiting` until it has, then `confirmed` or `refused`.
CREATE TABLE key_approvals (
    room_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    approver TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (room_id, request_id, approver)
);

-- Requests that are over, as hashes of their ids, so that what was under way for long does not bring them back.
CREATE TABLE key_request_tombstones (
    hash BYTES PRIMARY KEY,
    ts BIGINT NOT NULL
);
CREATE INDEX key_request_tombstones_by_age ON key_request_tombstones (ts);
