"""What is told to who is there, and written nowhere: kept in memory for some seconds, for a client that reconnects."""
