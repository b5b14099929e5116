"""The user's own tables: read, planned for, and restored after the run."""
