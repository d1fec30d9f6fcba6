-- Files of swarms, which events name by their SHA3-512.  The bytes lie with the media under their SHA-256 (homeserver/media/files.py).

-- What this server holds, for each room apart: that one room's members may have a file says nothing about those of another.
CREATE TABLE swarm_files (
    room_id TEXT NOT NULL,
    sha3 TEXT NOT NULL,
    -- SHA-256 of the same bytes
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    -- the local user who brought it; null: fetched from another server
    uploader TEXT,
    created_ts BIGINT NOT NULL,
    last_access_ts BIGINT NOT NULL,
    PRIMARY KEY (room_id, sha3)
);
CREATE INDEX swarm_files_by_digest ON swarm_files (digest);
CREATE INDEX swarm_files_of_user ON swarm_files (uploader) WHERE uploader IS NOT NULL;
CREATE INDEX swarm_files_by_access ON swarm_files (last_access_ts);

-- The events that name files: a file that none names any more goes.
CREATE TABLE swarm_file_events (
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    sha3 TEXT NOT NULL,
    PRIMARY KEY (room_id, event_id)
);
CREATE INDEX swarm_file_events_by_file ON swarm_file_events (room_id, sha3);

-- Files that are to be fetched, until they are here or nobody wishes for them any more.
CREATE TABLE swarm_wanted (
    room_id TEXT NOT NULL,
    sha3 TEXT NOT NULL,
    -- as an event says it, which may be wrong: who says so must not keep others from the file
    size BIGINT NOT NULL,
    -- when to try next, and how many attempts in a row brought nothing
    retry_ts BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    PRIMARY KEY (room_id, sha3, size)
);
CREATE INDEX swarm_wanted_by_retry ON swarm_wanted (retry_ts);

-- Who wishes for them.
CREATE TABLE swarm_wishes (
    room_id TEXT NOT NULL,
    sha3 TEXT NOT NULL,
    size BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    -- an event that names the file so, by which holders are asked
    event_id TEXT NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (room_id, sha3, size, user_id)
);
CREATE INDEX swarm_wishes_of_user ON swarm_wishes (user_id);
CREATE INDEX swarm_wishes_by_age ON swarm_wishes (ts);

-- Servers whose bytes of a wanted file were not that file, and are not asked for it again.  '': bytes of several servers together were
-- not; from then on one server gives it as a whole, so that it is known whose they are.
CREATE TABLE swarm_liars (
    room_id TEXT NOT NULL,
    sha3 TEXT NOT NULL,
    server TEXT NOT NULL,
    PRIMARY KEY (room_id, sha3, server)
);
