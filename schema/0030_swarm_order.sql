-- What was voted on in swarms and is to be looked at: whether there are enough votes, and whose turn it is to act on them.
CREATE TABLE swarm_motions (
    room_id TEXT NOT NULL,
    -- what the vote is on, as JSON; '' for all that is voted on in the room
    motion TEXT NOT NULL,
    -- when this server heard of it, and when it looks (ms)
    since BIGINT NOT NULL,
    due BIGINT NOT NULL,
    PRIMARY KEY (room_id, motion)
);
CREATE INDEX swarm_motions_by_due ON swarm_motions (due);

-- That somebody is out of date is said once per server, room and type of event: told by us (1), heard by us (0).
CREATE TABLE swarm_notices (
    server TEXT NOT NULL,
    told SMALLINT NOT NULL,
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (server, told, room_id, type)
);
CREATE INDEX swarm_notices_by_age ON swarm_notices (ts);
