-- Keys of devices and users, their backup, and the messages from device to device.

-- Identity keys: of local devices as uploaded, of remote ones as far as remote_device_lists says that they are known.
CREATE TABLE device_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    -- canonical JSON without `unsigned`; null: a remote device without keys
    keys BYTES,
    -- of remote devices only: local names are in `devices`
    display_name TEXT,
    PRIMARY KEY (user_id, device_id)
);

-- The latest change of each user's device list, local and remote.
CREATE TABLE device_list_changes (
    user_id TEXT PRIMARY KEY,
    position BIGINT NOT NULL,
    -- of local users: the number of the latest change that concerns other servers, and the device that it was about
    stream_id BIGINT NOT NULL,
    device_id TEXT
);
CREATE INDEX device_list_changes_by_position ON device_list_changes (position);

-- Remote users whose device list is followed.  Not stale: device_keys and cross_signing_keys hold all of it.
CREATE TABLE remote_device_lists (
    user_id TEXT PRIMARY KEY,
    -- null: read in a way that does not tell it
    stream_id BIGINT,
    stale SMALLINT NOT NULL,
    -- grows with each update heard: a read that was under way meanwhile is not stored
    generation BIGINT NOT NULL
);

-- Claimed keys stay for a while so that they are not handed out again should they be uploaded again.
CREATE TABLE one_time_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    batch BIGINT NOT NULL,
    claimed SMALLINT NOT NULL,
    key BYTES NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm, key_id)
);
CREATE INDEX one_time_keys_by_batch ON one_time_keys (user_id, device_id, algorithm, batch, key_id) WHERE claimed = 0;

CREATE TABLE fallback_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    used SMALLINT NOT NULL,
    key BYTES NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
);

-- usage: master, self_signing, user_signing.
CREATE TABLE cross_signing_keys (
    user_id TEXT NOT NULL,
    usage TEXT NOT NULL,
    public_key TEXT NOT NULL,
    keys BYTES NOT NULL,
    PRIMARY KEY (user_id, usage)
);

-- Signatures uploaded after the key they sign; target_id is a device id or the public key of a master key.
CREATE TABLE key_signatures (
    target_user TEXT NOT NULL,
    target_id TEXT NOT NULL,
    signer TEXT NOT NULL,
    key_id TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (target_user, target_id, signer, key_id)
);
CREATE INDEX key_signatures_by_signer ON key_signatures (signer, key_id);

-- Whom a user has signed, for the user's other devices.
CREATE TABLE user_signature_changes (
    signer TEXT NOT NULL,
    target_user TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (signer, target_user)
);

CREATE TABLE key_backups (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    auth_data BYTES NOT NULL,
    etag BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    deleted SMALLINT NOT NULL,
    PRIMARY KEY (user_id, version)
);

CREATE TABLE key_backup_sessions (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    first_message_index BIGINT NOT NULL,
    forwarded_count BIGINT NOT NULL,
    is_verified SMALLINT NOT NULL,
    session_data BYTES NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
);

-- How far each device's messages have been numbered.  Begins at the time of day, so that it never starts over.
CREATE TABLE to_device_inboxes (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- Messages that wait for a device, as JSON.  Each device has its own numbers, in the order of arrival.
CREATE TABLE to_device_messages (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    sender TEXT NOT NULL,
    message BYTES NOT NULL,
    PRIMARY KEY (user_id, device_id, sequence)
);
CREATE INDEX to_device_messages_by_sender ON to_device_messages (user_id, device_id, sender);

-- Transactions already carried out: of local devices (origin '') and of EDUs of other servers.
CREATE TABLE to_device_seen (
    origin TEXT NOT NULL,
    sender TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    ts BIGINT NOT NULL,
    PRIMARY KEY (origin, sender, txn_id)
);
CREATE INDEX to_device_seen_by_ts ON to_device_seen (ts);

-- A device that exists only here and collects messages while its user is logged out everywhere.  MSC3814
CREATE TABLE dehydrated_devices (
    user_id TEXT PRIMARY KEY,
    device_id TEXT NOT NULL,
    device_data BYTES NOT NULL
);
