"""The process that owns the servers, and what it writes down so that a crash can be cleared."""
