-- Invites of local users into swarms that the server of the invited user does not have yet.
CREATE TABLE swarm_outgoing (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    -- the invited user's
    server TEXT NOT NULL,
    -- when it is tried (again), by this server's clock (ms)
    due_ts BIGINT NOT NULL,
    tries SMALLINT NOT NULL,
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX swarm_outgoing_due ON swarm_outgoing (due_ts);
CREATE INDEX swarm_outgoing_server ON swarm_outgoing (server);

-- Invites that local users have accepted; the joins go on in the background.
CREATE TABLE swarm_accepted (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    -- the device that accepted
    device_id TEXT NOT NULL,
    inviter TEXT NOT NULL,
    -- the inviter's
    server TEXT NOT NULL,
    since_ts BIGINT NOT NULL,
    due_ts BIGINT NOT NULL,
    tries SMALLINT NOT NULL,
    -- tries that ended with a refusal, and not for want of a server
    refusals SMALLINT NOT NULL,
    PRIMARY KEY (user_id, room_id)
);
CREATE INDEX swarm_accepted_due ON swarm_accepted (due_ts);
CREATE INDEX swarm_accepted_server ON swarm_accepted (server);

-- Conversations that local users have removed, until another server has their leave.
CREATE TABLE swarm_removals (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    -- of the leave, or null
    position BIGINT,
    since_ts BIGINT NOT NULL,
    due_ts BIGINT NOT NULL,
    tries SMALLINT NOT NULL,
    PRIMARY KEY (user_id, room_id)
);
CREATE INDEX swarm_removals_due ON swarm_removals (due_ts);
CREATE INDEX swarm_removals_room ON swarm_removals (room_id);
