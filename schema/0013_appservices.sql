-- Application services: how far each has been told what happens (who they are is in their registration files); notices to users.

CREATE TABLE appservices (
    id TEXT PRIMARY KEY,
    -- everything up to this token has been looked through for what concerns it
    token TEXT NOT NULL,
    -- the latest transaction; begins at the time of day, so that it never starts over
    txn_id BIGINT NOT NULL,
    -- its body while it is not acknowledged, else null
    body BYTES
);

CREATE INDEX accounts_of_appservice ON accounts (appservice_id, user_id) WHERE appservice_id IS NOT NULL;
-- What is read for all rooms at once.
CREATE INDEX membership_changes_by_position ON membership_changes (position);
CREATE INDEX receipts_in_order ON receipts (position);

-- Where each user gets the notices of the server's operators.
CREATE TABLE notice_rooms (
    user_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL
);
