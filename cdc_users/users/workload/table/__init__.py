"""Makes rows for one of the user's own tables from the table's catalog."""
