-- Who may know that a room exists, as far as its state says: everybody (''), the members of a room, or nobody but who has to do with it ('-').
CREATE TABLE room_openness (
    room_id TEXT NOT NULL,
    open_to TEXT NOT NULL,
    PRIMARY KEY (room_id, open_to)
);

-- Invites and knocks that concern this server and are neither answered nor taken back; they may expire.
CREATE TABLE pending_members (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    -- invite or knock
    membership TEXT NOT NULL,
    -- when this server wrote or received it (ms): clocks of others are not trusted
    since_ts BIGINT NOT NULL,
    -- what is added to the room's lifetime: the inviter's server goes first
    grace_ms BIGINT NOT NULL,
    -- when it expires, or when that is tried again; null: never
    due_ts BIGINT,
    -- an invite that is to be accepted at once, because its user knocked and wants that
    accept SMALLINT NOT NULL,
    tries SMALLINT NOT NULL,
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX pending_members_due ON pending_members (due_ts) WHERE due_ts IS NOT NULL;
