"""What the creation of one pipeline's objects needs: the request, and the journal into which each
object is written before it is created.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.postgres.table import Table
from infra.stack.endpoints import Endpoints


def consumer_group(name: str) -> str:
    """The consumer group of the pipeline of this name."""
    return name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class OwnTables:
    """The user's own tables, and the wishes for them: the probe's column, whether it may be added,
    whether rows stay, whether the user's own code makes rows (`custom`), and the operations beside
    inserts. They are `published` if the run creates their capture; `by_debezium` if that is
    Debezium.
    """

    tables: tuple[Table, ...] = ()
    probe: str = "probe"
    add_probe: bool = False
    keep_rows: bool = False
    custom: bool = False
    changes: frozenset[str] = frozenset()
    seed: int = 1
    published: bool = True
    by_debezium: bool = False


@dataclass(slots=True)
class Ground:
    """What a declaration's `provision` may use.

    `name` belongs to this pipeline alone; all names of its objects begin with it. `note(kind,
    name)` writes an object down before it is created and returns its name; its kinds are those that
    the steward can remove, and the names of transports. `postgres` opens a connection to the
    source's server, `sink` one to the database that is watched as the sink's. `start` returns the
    endpoint of a transport's service: the user's, or an emulator's. `server` starts a source's own
    server, which lives as long as the run, and returns its URL.
    """

    name: str
    run: str
    tables: Sequence[str]
    topics: Sequence[str]
    partitions: int
    tuning: str
    transport: str
    transport_endpoint: str
    #: The user's own connector; empty if the run creates one.
    connector: str
    endpoints: Endpoints
    checkout: Path
    note: Callable[[str, str], str]
    postgres: Callable[[], AbstractContextManager[Any]]
    sink: Callable[[], AbstractContextManager[Any]]
    service: Callable[[str, str], str]
    server: Callable[[str], str]
    source: str = "postgres"
    own: OwnTables = field(default_factory=OwnTables)
    #: Whether a standby of the source's server shall have the slots too.
    failover: bool = False
