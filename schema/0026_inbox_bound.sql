-- How many events of one server wait is counted before more are kept.
CREATE INDEX inbox_of_server ON inbox (origin);
