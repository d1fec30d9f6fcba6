"""HTTP in: routing, decoding, errors, limits.  Knows no Matrix rule."""
