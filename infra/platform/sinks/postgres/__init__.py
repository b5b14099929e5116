"""The PostgreSQL sink: a table kept equal to the source."""
