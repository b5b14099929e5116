"""Where one pipeline's objects are created: what was asked for, and the journal that each object
is written into before it is created.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.postgres.table import Table
from infra.stack.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class OwnTables:
    """The user's own tables, and what is asked of them: which column holds the probe, whether it
    may be added, whether rows stay, whether the user's own code makes rows (`custom`), and which
    operations there are beside inserts. They are `published` where the run makes what captures
    them; `by_debezium` where that is Debezium.
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

    `name` is this pipeline's own, and the start of all names that it takes. `note(kind, name)`
    writes an object down before it is created and returns its name; kinds are those that the
    steward can remove, and the names of transports. `postgres` opens a connection to the source's
    server, `sink` one to the database that is watched as the sink's. `start` gives the endpoint of
    a transport's service, from the user or of an emulator.
    """

    name: str
    run: str
    tables: Sequence[str]
    topics: Sequence[str]
    partitions: int
    tuning: str
    transport: str
    transport_endpoint: str
    #: The user's own connector; empty where the run makes one.
    connector: str
    endpoints: Endpoints
    checkout: Path
    note: Callable[[str, str], str]
    postgres: Callable[[], AbstractContextManager[Any]]
    sink: Callable[[], AbstractContextManager[Any]]
    service: Callable[[str, str], str]
    own: OwnTables = field(default_factory=OwnTables)
