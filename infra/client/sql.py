"""Names in statements, as standard SQL quotes them."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name, such as a column's, quoted for a statement."""
    return '"' + name.replace('"', '""') + '"'


def quoted_name(*parts: str) -> str:
    """A name of several parts, such as a table's with its schema, quoted for a statement."""
    return ".".join(map(quoted, parts))
