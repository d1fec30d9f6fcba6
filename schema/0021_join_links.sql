-- Links by which people get into a room.  The token in the link is known by its hash only; a revoked link is no row.
CREATE TABLE join_links (
    link_id TEXT PRIMARY KEY,
    token_hash BYTES NOT NULL UNIQUE,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL,
    -- whether a member must agree
    approval SMALLINT NOT NULL,
    -- the room's key, encrypted under a key that is not in the database; null where no custody was given
    custody BYTES,
    created_ts BIGINT NOT NULL,
    expires_ts BIGINT,
    -- null: any number of people
    uses_left BIGINT
);
CREATE INDEX join_links_of_room ON join_links (room_id, created_ts);
CREATE INDEX join_links_of_user ON join_links (creator);
CREATE INDEX join_links_by_end ON join_links (expires_ts) WHERE expires_ts IS NOT NULL;
-- Whether the key of what is in custody is the right one is tried with the newest.
CREATE INDEX join_links_in_custody ON join_links (created_ts) WHERE custody IS NOT NULL;

-- Who has followed a link of this server: one row for each user, so that a link followed twice is used once.
CREATE TABLE link_requests (
    request_id TEXT PRIMARY KEY,
    link_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    public_key TEXT NOT NULL,
    -- waiting, declined, or open: may join
    status TEXT NOT NULL,
    ts BIGINT NOT NULL,
    UNIQUE (link_id, user_id)
);
CREATE INDEX link_requests_of_room ON link_requests (room_id, status, ts);
CREATE INDEX link_requests_by_age ON link_requests (ts);

-- Local users who wait for an answer to a link of another server.
CREATE TABLE link_hopes (
    server TEXT NOT NULL,
    request_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (server, request_id)
);
CREATE INDEX link_hopes_by_age ON link_hopes (ts);
CREATE INDEX link_hopes_of_user ON link_hopes (user_id);
