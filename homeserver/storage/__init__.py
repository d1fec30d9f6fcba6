"""Tables as functions of a transaction.  Knows no HTTP and decides nothing."""
