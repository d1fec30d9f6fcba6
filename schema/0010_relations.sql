-- Which events relate to which: reactions, edits, threads, references.  A redacted event relates to nothing.

CREATE TABLE relations (
    room_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    rel_type TEXT NOT NULL,
    num BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    sender TEXT NOT NULL,
    -- of an annotation: what it says
    key TEXT,
    ts BIGINT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    PRIMARY KEY (num)
);
CREATE INDEX relations_of_target ON relations (room_id, target_id, rel_type, major, minor);
CREATE INDEX relations_by_type ON relations (room_id, rel_type, major, minor);
