"""The federation API."""
