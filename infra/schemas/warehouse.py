"""The place of a local Iceberg warehouse, for the sink that writes it and the tap that reads it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote


def catalog_file(warehouse: Path) -> Path:
    """The SQLite catalog beside the tables."""
    return warehouse / "catalog.db"


def local_catalog(warehouse: Path) -> dict[str, str]:
    """PyIceberg's properties for a warehouse in a directory, whatever characters its name has.

    PyIceberg takes the path from a `file:` URL literally: it does not undo escapes, and stops at
    the first `#` or `?`. So a path with such characters is given as a plain path.
    """
    root = warehouse.absolute()
    url = root.as_uri()
    return {
        "type": "sql",
        "uri": f"sqlite:///{quote(str(catalog_file(root)))}",
        "warehouse": url if url == f"file://{root}" else str(root),
    }
