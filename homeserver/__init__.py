"""A Matrix homeserver: rooms, federation and sync on Twisted."""

__version__ = "0.1.0"
