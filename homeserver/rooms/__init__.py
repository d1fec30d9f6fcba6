"""The one write path of events, creation of rooms, history and who may see it."""
