-- A lease ends with the connection that its holder writes through: the process id of the session at the database, 0 for none.
ALTER TABLE leases ADD COLUMN session BIGINT NOT NULL DEFAULT 0;
