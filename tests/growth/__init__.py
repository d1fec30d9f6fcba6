"""What must not grow: memory, and the work of a message."""
