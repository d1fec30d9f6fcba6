-- Accounts of this server: who may log in, with what, and what they keep here.

CREATE TABLE accounts (
    user_id TEXT PRIMARY KEY,
    -- user, guest or appservice
    kind TEXT NOT NULL,
    appservice_id TEXT,
    -- null: nobody can log in with a password
    password_hash TEXT,
    created_ts BIGINT NOT NULL,
    admin SMALLINT NOT NULL,
    deactivated SMALLINT NOT NULL,
    erased SMALLINT NOT NULL,
    locked SMALLINT NOT NULL,
    suspended SMALLINT NOT NULL
);
CREATE INDEX accounts_by_creation ON accounts (created_ts);

CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    created_ts BIGINT NOT NULL,
    last_seen_ts BIGINT,
    last_seen_ip TEXT,
    user_agent TEXT,
    PRIMARY KEY (user_id, device_id)
);

-- An access token and the refresh token handed out with it, as SHA-256 hashes.
CREATE TABLE tokens (
    id BIGINT PRIMARY KEY,
    access_hash BYTES NOT NULL,
    refresh_hash BYTES,
    user_id TEXT NOT NULL,
    device_id TEXT,
    created_ts BIGINT NOT NULL,
    -- when the access token ends; null: never
    expires_ts BIGINT,
    -- the row that this one replaces, removed when one of the two tokens here is used for the first time
    replaces BIGINT
);
CREATE UNIQUE INDEX tokens_by_access ON tokens (access_hash);
CREATE UNIQUE INDEX tokens_by_refresh ON tokens (refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE INDEX tokens_of_user ON tokens (user_id, device_id);
CREATE INDEX tokens_by_replaced ON tokens (replaces) WHERE replaces IS NOT NULL;

-- Tokens for one use (purpose `login`: m.login.token) or for one question (`openid`: whose are you?).
CREATE TABLE short_tokens (
    hash BYTES PRIMARY KEY,
    purpose TEXT NOT NULL,
    user_id TEXT NOT NULL,
    expires_ts BIGINT NOT NULL
);
CREATE INDEX short_tokens_by_expiry ON short_tokens (expires_ts);
CREATE INDEX short_tokens_of_user ON short_tokens (user_id);

CREATE TABLE registration_tokens (
    token TEXT PRIMARY KEY,
    -- null: any number
    uses_allowed BIGINT,
    completed BIGINT NOT NULL,
    created_ts BIGINT NOT NULL,
    expires_ts BIGINT
);

-- User-interactive authentications under way.  `id_hash` is of the session's id and `act` is a MAC under that id, which is not
-- kept: what was asked for (a new password among it) cannot be guessed from this table.
CREATE TABLE auth_sessions (
    id_hash BYTES PRIMARY KEY,
    act BYTES NOT NULL,
    user_id TEXT,
    created_ts BIGINT NOT NULL,
    -- JSON list of the stages completed
    completed BYTES NOT NULL,
    -- what stages found out
    registration_token TEXT,
    -- an address, and what its mail was asked for: register, password or add
    medium TEXT,
    address TEXT,
    purpose TEXT
);
CREATE INDEX auth_sessions_by_creation ON auth_sessions (created_ts);
CREATE INDEX auth_sessions_by_token ON auth_sessions (registration_token) WHERE registration_token IS NOT NULL;

-- E-mail addresses and telephone numbers of accounts.
CREATE TABLE threepids (
    medium TEXT NOT NULL,
    address TEXT NOT NULL,
    user_id TEXT NOT NULL,
    validated_ts BIGINT NOT NULL,
    added_ts BIGINT NOT NULL,
    PRIMARY KEY (medium, address)
);
CREATE INDEX threepids_of_user ON threepids (user_id);

-- Addresses being proven.
CREATE TABLE threepid_validations (
    sid TEXT PRIMARY KEY,
    secret_hash BYTES NOT NULL,
    medium TEXT NOT NULL,
    address TEXT NOT NULL,
    -- register, password or add
    purpose TEXT NOT NULL,
    token_hash BYTES NOT NULL,
    attempt BIGINT NOT NULL,
    next_link TEXT,
    created_ts BIGINT NOT NULL,
    validated_ts BIGINT
);
CREATE UNIQUE INDEX threepid_validations_by_secret ON threepid_validations (secret_hash, medium, address, purpose);
CREATE INDEX threepid_validations_by_creation ON threepid_validations (created_ts);

-- One row per field; `value` is JSON.
CREATE TABLE profiles (
    user_id TEXT NOT NULL,
    field TEXT NOT NULL,
    value BYTES NOT NULL,
    PRIMARY KEY (user_id, field)
);

-- What is still to be done for accounts after the answer was given: `leave` (all rooms), `profile` (tell the rooms).
CREATE TABLE account_chores (
    user_id TEXT NOT NULL,
    chore TEXT NOT NULL,
    since_ts BIGINT NOT NULL,
    PRIMARY KEY (user_id, chore)
);

-- Account data, of the whole account where room_id is ''.  Content {} means removed: shown to those who follow, absent for all others.
CREATE TABLE account_data (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    content BYTES NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, type)
);
CREATE INDEX account_data_by_position ON account_data (user_id, position);

-- Filters never change once made; the same definition is the same filter.
CREATE TABLE filters (
    user_id TEXT NOT NULL,
    filter_id BIGINT NOT NULL,
    hash BYTES NOT NULL,
    definition BYTES NOT NULL,
    PRIMARY KEY (user_id, filter_id)
);
CREATE UNIQUE INDEX filters_by_definition ON filters (user_id, hash);
