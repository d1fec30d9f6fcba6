-- Files that users share.  The bytes lie on disk under their SHA-256 (homeserver/media/files.py); here is what they are called.

-- One row per mxc:// URI that this server knows: its own, and copies of those of other servers.
CREATE TABLE media (
    server TEXT NOT NULL,
    media_id TEXT NOT NULL,
    -- SHA-256 of the content in hex; null: the URI was created, the content is still to come
    digest TEXT,
    size BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    filename TEXT,
    -- null: fetched from another server
    uploader TEXT,
    created_ts BIGINT NOT NULL,
    -- until when the content may be uploaded, or until when it is kept (images of link previews); null: no such end
    expires_ts BIGINT,
    last_access_ts BIGINT NOT NULL,
    -- came here while downloads without a token were on: stays visible there when they are switched off
    open SMALLINT NOT NULL,
    -- the administrator who hid it; null: visible
    quarantined_by TEXT,
    -- an administrator says that it must never be quarantined
    safe SMALLINT NOT NULL,
    PRIMARY KEY (server, media_id)
);
CREATE INDEX media_by_digest ON media (digest);
CREATE INDEX media_of_user ON media (uploader, created_ts) WHERE uploader IS NOT NULL;
CREATE INDEX media_by_expiry ON media (expires_ts) WHERE expires_ts IS NOT NULL;
CREATE INDEX media_by_access ON media (last_access_ts);

-- Thumbnails belong to the content, so that the same picture under two URIs has them once.
CREATE TABLE media_thumbnails (
    source TEXT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    -- scale or crop
    method TEXT NOT NULL,
    animated SMALLINT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    PRIMARY KEY (source, width, height, method, animated)
);
CREATE INDEX media_thumbnails_by_digest ON media_thumbnails (digest);

-- Link previews: the answer as it goes to clients.
CREATE TABLE media_previews (
    url TEXT PRIMARY KEY,
    answer BYTES NOT NULL,
    fetched_ts BIGINT NOT NULL,
    expires_ts BIGINT NOT NULL
);
CREATE INDEX media_previews_by_expiry ON media_previews (expires_ts);

-- Content that an administrator forbids: an upload or copy of these bytes is refused.
CREATE TABLE media_forbidden (
    digest TEXT PRIMARY KEY,
    by_user TEXT NOT NULL,
    created_ts BIGINT NOT NULL
);
