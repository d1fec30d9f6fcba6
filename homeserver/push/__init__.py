"""Push rules, counts, pushers."""
