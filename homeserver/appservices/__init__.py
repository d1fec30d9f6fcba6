"""Application services: registration, masquerading, transactions."""
