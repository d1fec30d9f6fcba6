"""Relations between events: aggregations and threads."""
