"""MariaDB as a source."""
