"""Endpoints, one module per chapter of the specification; each calls one thing below."""
