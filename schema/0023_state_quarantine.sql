-- Nodes of states to which a sweep found no reference; the next one deletes those to which there still is none.
-- The room is '' where none of the events in the node is here any more.
CREATE TABLE state_quarantine (
    id BYTES PRIMARY KEY,
    room_id TEXT NOT NULL
);
CREATE INDEX state_quarantine_by_room ON state_quarantine (room_id, id);
