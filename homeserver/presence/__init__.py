"""Presence and typing: what is never stored."""
