"""The servers' files: locked by hash, fetched once per user, combined into class paths."""
