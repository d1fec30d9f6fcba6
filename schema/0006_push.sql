-- Push rules, what is unread, pushers.  docs/architecture.md, "Counts".

-- The rules of a user who changed any: homeserver/push/rules.py writes and reads `rules`.  `version` grows with each change.
CREATE TABLE push_rules (
    user_id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    rules BYTES NOT NULL,
    position BIGINT NOT NULL
);

-- Words of which a message must have one (and the other, where there is one) for a rule of the user to match its text.
CREATE TABLE push_keywords (
    word TEXT NOT NULL,
    other TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (word, other, user_id)
);
CREATE INDEX push_keywords_of_user ON push_keywords (user_id);

-- The same for the names of local members: user name, and display name in the room.
CREATE TABLE member_words (
    room_id TEXT NOT NULL,
    word TEXT NOT NULL,
    other TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (room_id, word, other, user_id)
);
CREATE INDEX member_words_of_user ON member_words (room_id, user_id);

-- Threads with events that count as unread: how many there are, the places of the first and the last.
CREATE TABLE notable_threads (
    room_id TEXT NOT NULL,
    root TEXT NOT NULL,
    n BIGINT NOT NULL,
    first_major BIGINT NOT NULL,
    first_minor BIGINT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    PRIMARY KEY (room_id, root)
);
CREATE INDEX notable_threads_by_order ON notable_threads (room_id, major, minor);

-- Each such event with its number in the thread, and its number among all events of threads of the room.
CREATE TABLE thread_events (
    num BIGINT PRIMARY KEY,
    room_id TEXT NOT NULL,
    root TEXT NOT NULL,
    n BIGINT NOT NULL,
    room_n BIGINT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL
);
CREATE INDEX thread_events_of_thread ON thread_events (room_id, root, major, minor);
CREATE INDEX thread_events_of_room ON thread_events (room_id, major, minor);

-- How far local users have read.  `thread` is '' for the whole room, 'main' for what is in no thread, else the thread's root.
-- n: how many events that count as unread there are up to this place, in the room, the main timeline or the thread.
-- base: for '', how many of them are in threads; else n at the place of ''.
CREATE TABLE read_marks (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    thread TEXT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    n BIGINT NOT NULL,
    base BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, thread)
);
CREATE INDEX read_marks_of_room ON read_marks (room_id);

-- Events that a rule about texts or mentions matched for one local user, with what the rules said when it came.
CREATE TABLE highlights (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    num BIGINT NOT NULL,
    thread TEXT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    -- whether the event has a number among those that count as unread
    counted SMALLINT NOT NULL,
    notify SMALLINT NOT NULL,
    highlight SMALLINT NOT NULL,
    PRIMARY KEY (user_id, room_id, num)
);
CREATE INDEX highlights_by_order ON highlights (user_id, room_id, major, minor);
CREATE INDEX highlights_by_number ON highlights (num);
CREATE INDEX highlights_latest ON highlights (user_id, num);

-- Events that concern all members of the room alike, and why (homeserver/push/verdicts.py: ROOM_MENTION and others).
CREATE TABLE room_highlights (
    room_id TEXT NOT NULL,
    num BIGINT NOT NULL,
    thread TEXT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    counted SMALLINT NOT NULL,
    reason SMALLINT NOT NULL,
    PRIMARY KEY (room_id, num)
);
CREATE INDEX room_highlights_by_order ON room_highlights (room_id, major, minor);

CREATE TABLE pushers (
    id BIGINT PRIMARY KEY,
    user_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    kind TEXT NOT NULL,
    app_display_name TEXT NOT NULL,
    device_display_name TEXT NOT NULL,
    profile_tag TEXT,
    lang TEXT NOT NULL,
    -- JSON object as the client gave it
    data BYTES NOT NULL,
    -- the session that made it: it goes with it
    device_id TEXT,
    enabled SMALLINT NOT NULL,
    -- when the pushkey was set (ms)
    ts BIGINT NOT NULL,
    -- failed attempts since the last success, and when to try again
    failures BIGINT NOT NULL,
    retry_ts BIGINT NOT NULL
);
CREATE UNIQUE INDEX pushers_by_key ON pushers (app_id, pushkey, user_id);
CREATE INDEX pushers_of_user ON pushers (user_id);

-- What pushers still have to be told: an event, or (num 0) that the number of unread events changed.
CREATE TABLE waiting_pushes (
    pusher_id BIGINT NOT NULL,
    num BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (pusher_id, num)
);

-- How far the stream of events has been looked through for pushes, and which process does it, until when.
CREATE TABLE push_progress (
    name TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);
