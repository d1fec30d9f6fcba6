-- The room directory: names for rooms, and rooms that anybody may find.

CREATE TABLE aliases (
    alias TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL,
    created_ts BIGINT NOT NULL
);
CREATE INDEX aliases_of_room ON aliases (room_id);

CREATE TABLE published_rooms (
    room_id TEXT PRIMARY KEY,
    published_ts BIGINT NOT NULL,
    -- network of an application service that lists it; empty for the server's own list
    network TEXT NOT NULL
);
