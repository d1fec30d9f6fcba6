"""Other servers: finding them, asking them, believing them, queueing for them."""
