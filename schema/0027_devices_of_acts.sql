-- The device on which something was asked for that the server does later: rooms may name it in the event.
ALTER TABLE join_links ADD COLUMN device TEXT;
ALTER TABLE account_chores ADD COLUMN device TEXT;
