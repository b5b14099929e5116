"""Where the Iceberg sink keeps a warehouse on this machine, and where its tap looks for it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote


def catalog_file(warehouse: Path) -> Path:
    """The SQLite catalog beside the tables."""
    return warehouse / "catalog.db"


def local_catalog(warehouse: Path) -> dict[str, str]:
    """PyIceberg's properties of a warehouse in a directory, whatever its name has in it.

    PyIceberg takes the path out of a `file:` URL as it stands: without undoing its escapes, and up
    to the first `#` or `?`. So a path that would need one is given as a path.
    """
    root = warehouse.absolute()
    url = root.as_uri()
    return {
        "type": "sql",
        "uri": f"sqlite:///{quote(str(catalog_file(root)))}",
        "warehouse": url if url == f"file://{root}" else str(root),
    }
