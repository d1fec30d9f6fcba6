-- The words of messages, names and topics, under the numbers of their events.  What was redacted is not here.

-- only on sqlite
CREATE VIRTUAL TABLE search_texts USING fts5(text);

-- only on postgres
CREATE TABLE search_texts (
    num BIGINT PRIMARY KEY,
    text TEXT NOT NULL,
    words TSVECTOR GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED
);
-- only on postgres
CREATE INDEX search_texts_by_word ON search_texts USING GIN (words);
