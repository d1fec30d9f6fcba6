"""Messages of ephemeral rooms: forwarded to who is there, never written down.  docs/flows/ephemeral_rooms.md"""
