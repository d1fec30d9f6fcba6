"""Join, invite, knock, leave, ban; candidate servers and expiry."""
