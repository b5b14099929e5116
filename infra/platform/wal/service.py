"""Assembles one direct reader from source objects, publisher, queue and reader, and takes
it apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict

from cdc_users.measure.clock import Anchor
from infra.platform.process.error import PlatformError
from infra.platform.transports.plugin import Destination, TransportPlugin, transports
from infra.platform.transports.transport import WalPublisher
from infra.platform.wal.avro_encode import AvroEncoder, Subjects, check_registry
from infra.platform.wal.encode import JsonEncoder, NoEncoder, PrimaryKeys
from infra.platform.wal.error import SetupError
from infra.platform.wal.meter import WalMeter
from infra.platform.wal.refused import RefusedChanges
from infra.platform.wal.replication import catalogue, requirement
from infra.platform.wal.replication import slot as server
from infra.platform.wal.replication.journal import OwnObjects, Position, abandoned
from infra.platform.wal.replication.patience import PatienceClock, patiently
from infra.platform.wal.replication.pump import Encoder, Pump, PumpBound
from infra.platform.wal.replication.reader import ReaderSettings, WalReader
from infra.platform.wal.serialise.table_schema import TableFacts, topic_name
from infra.replication.connection import SILENCE_S, ServerIdentity
from infra.replication.error import ReplicationError
from infra.replication.limited import LimitedConnection
from infra.replication.pgoutput.event import Relation

logger = structlog.get_logger()
T = TypeVar("T")

FORMATS = ("json", "avro", "none")
#: REPLICA IDENTITY USING INDEX.
_BY_INDEX = "i"


@dataclass(frozen=True, slots=True)
class DirectReaderSettings:
    """The command line's settings (option.py explains each)."""

    dsn: str
    slot: str
    publication: str
    transport: str = "null"
    format: str = "json"
    schema_registry: str = ""
    endpoint: str = ""
    create: tuple[str, ...] = ()
    journal: Path = Path(".cdc-wal")
    state: Path | None = None
    project: str = "locust-cdc"
    prefix: str = "cdc"
    stream: str = ""
    partitions: int = 16
    run: str = ""
    probe_column: str = "probe"
    max_messages: int = 10_000
    max_bytes: int = 64_000_000
    coalesce_s: float = 0.004
    reconnect_s: float = 60.0
    held: bool = False
    silence_s: float = SILENCE_S
    skip_gaps: bool = False
    refused: Path | None = None
    streaming: bool = False
    spill_bytes: int = 10_000_000_000
    intervals: str = "numeric"


class Service:
    """A reader with everything that it needs.

    The constructor checks all that can be checked, which may take seconds. It raises SetupError,
    SlotGoneError or UnreachableError with the remedy, and then leaves nothing behind.
    """

    def __init__(self, settings: DirectReaderSettings, anchor: Anchor) -> None:
        self.settings = settings
        self._keys = PrimaryKeys(self._primary_key)
        #: What the encoder waits for at present.
        self._trouble = ""
        self._own = OwnObjects(settings.journal, settings.slot) if settings.create else None
        position = Position(settings.state, settings.slot, settings.publication)
        with closing(server.connect(settings.dsn)) as connection:
            requirement.check_server(connection)
            identity = requirement.check_rights(
                connection, settings.dsn, settings.silence_s, position.place
            )
            self._remove_abandoned()
            if self._own is not None:
                self._create(connection, self._own)
            try:
                self._build(connection, position, identity, anchor)
            except BaseException:
                self.close()
                raise

    def _build(
        self,
        connection: LimitedConnection,
        position: Position,
        identity: ServerIdentity,
        anchor: Anchor,
    ) -> None:
        settings = self.settings
        self.published = requirement.check_publication(connection, settings.publication)
        tables = server.published_tables(connection, settings.publication)
        publisher = self._publisher([self._stream(schema, table) for schema, table in tables])
        slot = requirement.check_slot(connection, settings.slot, position.lsn is not None)
        if not settings.skip_gaps:
            self._check_cluster(position, identity)
            requirement.check_place(position.place, identity, slot)
        self.publisher = publisher
        self.refused = RefusedChanges(settings.refused)
        self.meter = WalMeter(publisher.name, settings.run)
        self.pump = Pump(
            publisher,
            self._encoder(requirement.has_any_bytes(connection)),
            self.meter,
            anchor.now_us,
            PumpBound(settings.max_messages, settings.max_bytes),
        )
        self.pump.refused = self.refused
        self.reader = WalReader(self._reader_settings(), self.pump, position, anchor.now_us)

    def _reader_settings(self) -> ReaderSettings:
        settings = self.settings
        return ReaderSettings(
            settings.dsn,
            settings.slot,
            settings.publication,
            settings.coalesce_s,
            settings.reconnect_s,
            settings.held,
            settings.silence_s,
            settings.skip_gaps,
            settings.streaming,
            settings.spill_bytes,
        )

    def _check_cluster(self, position: Position, identity: ServerIdentity) -> None:
        """Raise SetupError for a state file of another cluster, before anything is read."""
        place = position.place
        if place is None or place.system == identity.system:
            return
        raise SetupError(
            f"--state {self.settings.state} is of slot {self.settings.slot!r} in cluster"
            f" {place.system}, not in {identity.system}; name another file or remove it"
        )

    def _remove_abandoned(self) -> None:
        """Remove the objects that killed readers had created for themselves."""
        for path, dsn, objects in abandoned(self.settings.journal):
            if _removed(path, dsn, objects):
                logger.warning("platform.reader.cleared", objects=objects)

    @property
    def _objects(self) -> dict[str, str]:
        """The objects that are created for this reader alone, in the order of creation."""
        return {"publication": self.settings.publication, "slot": self.settings.slot}

    def _create(self, connection: LimitedConnection, own: OwnObjects) -> None:
        settings = self.settings
        server.check_free(connection, settings.slot, settings.publication)
        own.note(settings.dsn, self._objects)
        try:
            server.create_publication(connection, settings.publication, settings.create)
            server.create_slot(connection, settings.slot)
        except (PlatformError, ReplicationError):
            self.close()
            raise

    @property
    def _transport(self) -> TransportPlugin:
        return transports().by_name[self.settings.transport]

    def _stream(self, schema: str, table: str) -> str:
        settings = self.settings
        if settings.format == "avro" and not settings.stream:
            return topic_name(settings.prefix, schema, table)
        return settings.stream or self._transport.naming.name(settings.prefix, schema, table)

    def _primary_key(self, oid: int) -> tuple[str, ...]:
        """Ask for a table's key; a server that is restarting is waited for."""

        def ask() -> tuple[str, ...]:
            with closing(server.connect(self.settings.dsn)) as connection:
                return catalogue.primary_key(connection, oid)

        return self._patiently(ask)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """The answer of a source or registry that may be away for a while."""
        return patiently(ask, self.settings.reconnect_s, PatienceClock(), self._wait_for)

    def _wait_for(self, trouble: str) -> None:
        self._trouble = trouble

    def _facts(self, relation: Relation) -> TableFacts:
        """Facts about a table that the catalogue has and the stream does not."""
        key = tuple(self._keys(relation) or ())
        if not key and relation.identity == _BY_INDEX:
            key = tuple(relation.names[place] for place in relation.key_positions)
        with closing(server.connect(self.settings.dsn)) as connection:
            if not key:
                unique = catalogue.unique_key(connection, relation.oid)
                key = unique if set(unique) <= set(relation.names) else ()
            return catalogue.table_facts(connection, relation.oid, key)

    def _relations(self) -> list[Relation]:
        """The published tables at present."""
        tables = self.published.tables.values()
        with closing(server.connect(self.settings.dsn)) as connection:
            found = [
                catalogue.table_relation(connection, table.oid, table.columns) for table in tables
            ]
        return [relation for relation in found if relation is not None]

    def _encoder(self, any_bytes: bool) -> Encoder:
        settings = self.settings
        if settings.format == "none":
            return NoEncoder()
        if settings.format == "avro":
            return self._avro_encoder(any_bytes)
        return JsonEncoder(self._stream, self._keys, settings.probe_column, any_bytes=any_bytes)

    def _avro_encoder(self, any_bytes: bool) -> Encoder:
        settings = self.settings
        if any_bytes:
            raise SetupError(
                "server_encoding is SQL_ASCII: texts are bytes of no known encoding, and Avro's"
                " strings are UTF-8; use --format json"
            )
        check_registry(settings.schema_registry)
        database = conninfo_to_dict(settings.dsn).get("dbname") or ""
        subjects = Subjects(settings.schema_registry, self._stream, self._facts, settings.intervals)
        subjects.check(self._relations())
        return AvroEncoder(
            self._stream,
            lambda relation: self._patiently(lambda: subjects(relation)),
            settings.prefix,
            str(database),
            settings.probe_column,
        )

    def _publisher(self, streams: Sequence[str]) -> WalPublisher:
        settings = self.settings
        return self._transport.connect(
            Destination(settings.endpoint, streams, settings.project, settings.partitions)
        )

    def run(self) -> None:
        """Read and publish until `stop`, or until a failure, which is then in `failure`."""
        self.pump.start()
        self.reader.run()

    def begin(self) -> None:
        """Start to read, if the settings say to wait for this call."""
        self.reader.begin()

    def stop(self) -> None:
        """Have `run` end when everything held is durable and confirmed."""
        self.reader.stop()

    def close(self) -> None:
        """Remove the objects that were created for this reader alone."""
        if self._own is not None and self._own.path.exists():
            _removed(self._own.path, self.settings.dsn, self._objects)

    @property
    def failure(self) -> Exception | None:
        """The error that ended the reader; None if none did."""
        return self.reader.failure

    @property
    def errors(self) -> list[str]:
        """Permanent failures, and failures that repeat at present, for the telemetry."""
        found = [self.reader.failure, self.pump.failure]
        said = {f"{type(error).__name__}: {error}" for error in found if error is not None}
        troubles = {self.reader.trouble, self.publisher.trouble, self._trouble}
        return sorted((said | troubles) - {""})

    def watch(self) -> int | None:
        """Look at source and destination; returns the WAL in bytes that the slot still holds for
        us, None if the server does not answer.

        A publication that publishes less than before ends the reader, because the server would
        continue silently. So does a destination whose contents are gone.
        """
        if why := self.publisher.moved():
            self.reader.fail(
                SetupError(
                    f"{why}; what was published to it may be gone: take over the tables' contents"
                    " again, or start the reader again to go on without"
                )
            )
        try:
            with closing(server.connect(self.settings.dsn)) as connection:
                self._watch_publication(connection)
                return server.lag_bytes(connection, self.settings.slot)
        except (PlatformError, ReplicationError, psycopg.Error):
            return None

    def _watch_publication(self, connection: LimitedConnection) -> None:
        name = self.settings.publication
        now = requirement.published(connection, name)
        why = requirement.missing_since(
            self.published, now, name, requirement.existing(connection, self.published)
        )
        if why:
            self.reader.fail(
                SetupError(f"{why}; mend it, or start the reader again to go on without")
            )
        elif now is not None:
            if put_away := sorted({*self.published.tables} - {*now.tables}):
                dropped = [self.published.tables[oid].name for oid in put_away]
                logger.warning("platform.reader.partitions_dropped", tables=dropped)
            self.published = now

    def _partition(self) -> dict[str, object]:
        return {"paused": self.reader.paused, "lag": None, "durable": self.meter.durable_events}

    def snapshot(self) -> dict[str, object]:
        """Queue, position and counters, shaped as a consumer's."""
        pump = self.pump
        return {
            "polled": self.reader.messages,
            # The slot stands for the only partition; how far it is behind is reported elsewhere, in
            # bytes.
            "partitions": {self.settings.slot: self._partition()},
            "queue_depth": pump.held - pump.in_flight,
            "queue_high_water": pump.high_water,
            "in_flight": pump.in_flight,
            "max_buffered_messages": pump.bound.messages,
            "pauses": self.reader.pauses,
            "rebalances": 0,
            "errors": self.errors,
            "monotonic_ns": time.monotonic_ns(),
            "slot": self.reader.snapshot(),
            "refused": self.refused.count,
            "held_bytes": pump.held_bytes,
            "max_buffered_bytes": pump.bound.bytes,
            "notes": list(requirement.notes(self.settings.publication, self.published)),
        }


def _removed(path: Path, dsn: str, objects: Mapping[str, str]) -> bool:
    """Drop what a journal file names, and the file; where that fails, the file stays for a later
    start to try again.
    """
    try:
        for kind, name in reversed(list(objects.items())):
            server.drop(dsn, kind, name)
    except (PlatformError, ReplicationError, psycopg.Error) as error:
        logger.warning("platform.reader.left_behind", objects=objects, error=str(error).strip())
        return False
    path.unlink(missing_ok=True)
    return True
