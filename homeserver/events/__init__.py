"""The pure core: what an event is and what the rules decide.  No IO, no clock, no randomness."""
