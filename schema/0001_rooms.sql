-- Rooms, their events, their state.  docs/architecture.md, "Events and rooms".

-- One row per room this server knows.  The row is the room's lock; `seq` grows with each change of it.
CREATE TABLE rooms (
    room_id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    creator TEXT NOT NULL,
    seq BIGINT NOT NULL,
    -- forward extremities: JSON list of [event number, event id, depth, reference hash or null]
    heads BYTES NOT NULL,
    -- root of the current state, and the room's own order of its newest event
    state_root BYTES NOT NULL,
    last_order BIGINT NOT NULL,
    -- running number of the events that count as unread
    notable BIGINT NOT NULL,
    -- how many redactions and purges touched the room: part of the key of anything cached about its events
    removals BIGINT NOT NULL,
    -- the set of servers in the room: destination_sets.hash
    servers BYTES,
    joined_members BIGINT NOT NULL,
    invited_members BIGINT NOT NULL,
    -- when something last happened in the room, and something that people want to see (rooms/activity.py)
    active BIGINT NOT NULL,
    bumped BIGINT NOT NULL,
    -- place in the stream of the latest change that /sync shows
    position BIGINT NOT NULL,
    -- no local user is joined: the room's state here may be out of date
    departed SMALLINT NOT NULL,
    -- the state of the room is being completed in the background
    partial SMALLINT NOT NULL
);

-- body and envelope: the two halves of the event's JSON (homeserver/events/event.py), without `unsigned`.
CREATE TABLE events (
    num BIGINT PRIMARY KEY,
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    sender TEXT NOT NULL,
    ts BIGINT NOT NULL,
    depth BIGINT NOT NULL,
    -- 0 outlier, 1 partial, 2 accepted, 3 soft-failed, 4 rejected (homeserver/storage/events.py: Status)
    status SMALLINT NOT NULL,
    -- order in the room; null for what is not on the timeline
    major BIGINT,
    minor BIGINT,
    -- place in the stream of what /sync shows; null for history that was fetched later
    position BIGINT,
    state_before BYTES,
    state_after BYTES,
    notable BIGINT,
    -- event number of the redaction that removed the content
    redacted_by BIGINT,
    -- event number of the state event that this one replaced
    replaces BIGINT,
    -- destination_sets.hash of the servers that this server sends the event to; null for events of others
    destinations BYTES,
    body BYTES NOT NULL,
    envelope BYTES NOT NULL
);
CREATE UNIQUE INDEX events_by_id ON events (room_id, event_id);
CREATE INDEX events_by_order ON events (room_id, major, minor);
CREATE INDEX events_by_position ON events (position);
CREATE INDEX events_outgoing ON events (position) WHERE destinations IS NOT NULL;
CREATE INDEX events_by_ts ON events (room_id, ts);

-- Events that others cite as their predecessor and that are not here, each with the place where it belongs.
CREATE TABLE gaps (
    room_id TEXT NOT NULL,
    missing_id TEXT NOT NULL,
    num BIGINT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    PRIMARY KEY (room_id, missing_id, num)
);
CREATE INDEX gaps_by_order ON gaps (room_id, major, minor);

-- Redactions that came before what they redact.
CREATE TABLE redactions (
    room_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    num BIGINT NOT NULL,
    PRIMARY KEY (room_id, target_id, num)
);

-- Nodes of the persistent state maps, each under its hash (homeserver/events/state_map.py).
CREATE TABLE state_nodes (
    id BYTES PRIMARY KEY,
    node BYTES NOT NULL
);

CREATE TABLE current_state (
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    num BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (room_id, type, state_key)
);

-- How the current state of rooms changed, for /sync: one row per change.
CREATE TABLE state_changes (
    room_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    num BIGINT,
    PRIMARY KEY (room_id, position, type, state_key)
);

CREATE INDEX state_changes_by_position ON state_changes (position);

-- The current membership of users in rooms, of local users in rooms elsewhere too.
CREATE TABLE members (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    membership TEXT NOT NULL,
    -- the membership before this one, or null
    previous TEXT,
    sender TEXT NOT NULL,
    num BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    server TEXT NOT NULL,
    local SMALLINT NOT NULL,
    display_name TEXT,
    avatar_url TEXT,
    forgotten SMALLINT NOT NULL,
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX members_of_user ON members (user_id, membership);
CREATE INDEX members_by_position ON members (position);
CREATE INDEX members_by_membership ON members (room_id, membership);
CREATE INDEX members_by_server ON members (room_id, server);

-- Each change of the membership of a local user, for /sync and for who may know of a room.
CREATE TABLE membership_changes (
    user_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    membership TEXT NOT NULL,
    previous TEXT,
    num BIGINT NOT NULL,
    PRIMARY KEY (user_id, position, room_id)
);

-- Servers with joined members.
CREATE TABLE room_servers (
    room_id TEXT NOT NULL,
    server TEXT NOT NULL,
    joined BIGINT NOT NULL,
    PRIMARY KEY (room_id, server)
);
CREATE INDEX room_servers_by_server ON room_servers (server);

-- Sets of servers, each under the hash of its members; `servers` is a JSON list.
CREATE TABLE destination_sets (
    hash BYTES PRIMARY KEY,
    servers BYTES NOT NULL
);

-- Invites and knocks to rooms that this server is not in: what the user was shown, and whom to ask.
CREATE TABLE remote_invitations (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    version TEXT NOT NULL,
    -- stripped state, and servers to ask, as JSON lists; the whole event where we have it (invite)
    stripped BYTES NOT NULL,
    candidates BYTES NOT NULL,
    event BYTES,
    PRIMARY KEY (room_id, user_id)
);

-- Which transaction of which device made which event (idempotence of PUT /send).
CREATE TABLE sent (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    num BIGINT NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, room_id, txn_id)
);
CREATE INDEX sent_by_num ON sent (num);
CREATE INDEX sent_by_ts ON sent (ts);
