"""A look at each kind of source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from cdc_users.error import TargetError
from cdc_users.users.source.look import SourceLook
from cdc_users.users.source.mariadb.look import MariadbLook
from cdc_users.users.source.postgres.look import PostgresLook
from cdc_users.users.target import DatabaseKind, DatabaseTarget

LOOKS: Mapping[DatabaseKind, type[PostgresLook] | type[MariadbLook]] = {
    "postgres": PostgresLook,
    "mariadb": MariadbLook,
}


@contextmanager
def source_look(target: DatabaseTarget, run: str) -> Iterator[SourceLook]:
    """A look at the tables of a run; raises TargetError if the server does not answer."""
    kind = LOOKS[target.kind]
    try:
        with closing(kind(target, run)) as look:
            yield look
    except kind.failures as error:
        if not kind.silent(error):
            raise
        raise TargetError(f"the source does not answer: {str(error).strip()}") from error
