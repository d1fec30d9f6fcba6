-- The room directory: names for rooms, and rooms that anybody may find.

CREATE TABLE aliases (
    alias TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL,
    created_ts BIGINT NOT NULL
);
CREATE INDEX aliases_of_room ON aliases (room_id);

CREATE TABLE published_rooms (
    room_id TEXT NOT NULL,
    -- network of an application service that lists it (service|network); empty for the server's own list
    network TEXT NOT NULL,
    published_ts BIGINT NOT NULL,
    PRIMARY KEY (room_id, network)
);

-- What users brought to the attention of those who run the server: an event, a room (no event) or a user (neither).
CREATE TABLE reports (
    id BIGINT PRIMARY KEY,
    ts BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    room_id TEXT,
    event_id TEXT,
    -- the user who is reported, or who sent the event
    user_id TEXT,
    reason TEXT NOT NULL
);
CREATE INDEX reports_of_reporter ON reports (reporter, ts);

-- Words by which the user directory finds somebody: of the localpart and of all display names.  Says nothing on who may find them.
CREATE TABLE directory_words (
    word TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (word, user_id)
);
CREATE INDEX directory_words_of_user ON directory_words (user_id);

-- How far the words of members have been collected: a token.  One row.
CREATE TABLE directory_progress (
    one SMALLINT PRIMARY KEY,
    token TEXT NOT NULL
);
