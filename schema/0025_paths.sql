-- A transaction id counts for its device and path: the same one may send a message and redact one.  spec: client-server-api#transaction-identifiers
-- What stands in the path besides the room and the id: '' for messages (m.room.message), else send/TYPE or redact/EVENT.
ALTER TABLE sent ADD COLUMN path TEXT NOT NULL DEFAULT '';
UPDATE sent SET path = COALESCE((SELECT 'send/' || type FROM events WHERE events.num = sent.num AND type <> 'm.room.message'), '');
DROP INDEX sent_by_transaction;
CREATE UNIQUE INDEX sent_by_transaction ON sent (user_id, device_id, room_id, txn_id, path);
