"""Where one pipeline's objects are created: what was asked for, and the journal that each object
is written into before it is created.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.stack.endpoints import Endpoints


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
    #: The user's own connector with its table; empty where the run makes one.
    connector: str
    table: str
    endpoints: Endpoints
    checkout: Path
    note: Callable[[str, str], str]
    postgres: Callable[[], AbstractContextManager[Any]]
    sink: Callable[[], AbstractContextManager[Any]]
    service: Callable[[str, str], str]
