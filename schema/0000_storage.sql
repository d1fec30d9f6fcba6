-- What the storage itself keeps.

-- One row per process that writes, or has written; a new process takes over the row of a dead one.
CREATE TABLE writers (
    writer BIGINT PRIMARY KEY,
    -- stream positions and event numbers handed out so far
    count BIGINT NOT NULL,
    number BIGINT NOT NULL,
    -- groups of acts committed so far: tells after a lost connection whether the last one was
    groups BIGINT NOT NULL,
    -- who holds the row, until when on the database's clock (ms)
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- Work that one process does for all: who does it, until when on the database's clock (ms).
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);
