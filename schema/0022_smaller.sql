-- Less on disk for each message.

-- The words of messages without the text itself, which the event has: to take words out again, they are made of the event once more.
-- only on sqlite
CREATE VIRTUAL TABLE smaller_texts USING fts5(text, content='');
-- only on sqlite
INSERT INTO smaller_texts (rowid, text) SELECT rowid, text FROM search_texts;
-- only on sqlite
DROP TABLE search_texts;
-- only on sqlite
ALTER TABLE smaller_texts RENAME TO search_texts;

-- only on postgres
ALTER TABLE search_texts RENAME TO larger_texts;
-- only on postgres
DROP INDEX search_texts_by_word;
-- only on postgres
CREATE TABLE search_texts (
    num BIGINT PRIMARY KEY,
    words TSVECTOR NOT NULL
);
-- only on postgres
INSERT INTO search_texts (num, words) SELECT num, words FROM larger_texts;
-- only on postgres
DROP TABLE larger_texts;
-- only on postgres
CREATE INDEX search_texts_by_word ON search_texts USING GIN (words);

-- The number says which event it was.
CREATE TABLE smaller_sent (
    num BIGINT PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    ts BIGINT NOT NULL
);
INSERT INTO smaller_sent (num, user_id, device_id, txn_id, room_id, ts) SELECT num, user_id, device_id, txn_id, room_id, ts FROM sent;
DROP TABLE sent;
ALTER TABLE smaller_sent RENAME TO sent;
CREATE UNIQUE INDEX sent_by_transaction ON sent (user_id, device_id, room_id, txn_id);
CREATE INDEX sent_by_ts ON sent (ts);
