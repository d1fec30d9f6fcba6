"""From process to process of one server, what need not or must not be stored.  Promises nothing: what is lost is lost."""
