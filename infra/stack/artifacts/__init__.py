"""The servers' files: locked by hash, fetched once a user, put together into class paths."""
