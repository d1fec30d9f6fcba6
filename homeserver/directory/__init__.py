"""Aliases, public rooms, user directory, room summaries."""
