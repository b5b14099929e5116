"""MariaDB as a source: its address, what it must be, and the databases of a run."""
