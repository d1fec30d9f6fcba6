-- What operators have ordered.

-- Rooms that local users may not enter.
CREATE TABLE blocked_rooms (
    room_id TEXT PRIMARY KEY,
    by_user TEXT NOT NULL,
    ts BIGINT NOT NULL
);

-- Work on rooms that takes its time: it goes on after a restart.
CREATE TABLE room_jobs (
    id TEXT PRIMARY KEY,
    -- delete, purge, or redact (then room_id is the user whose messages it is about)
    kind TEXT NOT NULL,
    room_id TEXT NOT NULL,
    -- JSON: what was asked for, and what came of it so far
    wanted BYTES NOT NULL,
    result BYTES NOT NULL,
    -- scheduled, active, complete or failed
    status TEXT NOT NULL,
    ts BIGINT NOT NULL
);
CREATE INDEX room_jobs_of_room ON room_jobs (room_id, ts);
CREATE INDEX room_jobs_waiting ON room_jobs (status, ts);
