"""Publications of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, sql

from infra.postgres.table import Table


def create_publication(connection: Connection[Any], name: str, tables: Sequence[Table]) -> None:
    """Publish these tables; must be called before the slot is created, or pgoutput refuses the
    changes in between.
    """
    listed = sql.SQL(", ").join(table.identifier for table in tables)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(sql.Identifier(name), listed)
        )


def drop_publication(connection: Connection[Any], name: str) -> None:
    """Drop a publication; one that is not there is fine."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))
