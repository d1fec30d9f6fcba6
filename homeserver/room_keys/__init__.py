"""The keys of rooms, which the server never sees: who asks for one, who approves, how the sealed key gets there."""
