"""Faults of the network between the connector and PostgreSQL, between the platform and its sink, or
before Kafka or the schema registry, by relays of the run's own.
"""

from __future__ import annotations

from collections.abc import Callable

from infra.faults.catalogue.database import ALTERED, add_unknown_column, drop_unknown_columns
from infra.faults.catalogue.process import CAPTURE, REPEATS_S
from infra.faults.fault import Fault, FaultDeed, FaultGround
from infra.faults.relay import Relay, Trouble

#: A latency as between continents; a line that is far too narrow for the load; a pulled cable.
SLOW = Trouble(latency_s=0.15, jitter_s=0.05)
NARROW = Trouble(bytes_per_s=64_000)
SILENT = Trouble(silent=True)


def _relayed(place: str, deed: Callable[[Relay], None]) -> FaultDeed:
    """An action on the relay at a place, if there is one."""

    def carry_out(ground: FaultGround) -> None:
        if place in ground.relays:
            deed(ground.relays[place])

    return carry_out


def _has(trouble: Trouble, place: str = "source") -> FaultDeed:
    return _relayed(place, lambda relay: relay.trouble(trouble))


def _reset(place: str = "source") -> FaultDeed:
    return _relayed(place, Relay.reset)


def _hide_registry(ground: FaultGround) -> None:
    """Silence the registry first: once rows have the new column, it is asked at once."""
    _has(SILENT, "registry")(ground)
    add_unknown_column(ground)


def _show_registry(ground: FaultGround) -> None:
    _has(Trouble(), "registry")(ground)
    drop_unknown_columns(ground)


SLOW_NETWORK = Fault(
    "slow-network",
    "Delays what passes between connector and PostgreSQL by 150 to 200 ms in each direction.",
    on="network",
    inject=_has(SLOW),
    heal=_has(Trouble()),
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="a capture near its source; the replication protocol needs few round trips",
)
NARROW_NETWORK = Fault(
    "narrow-network",
    "Lets 64 kB a second pass between connector and PostgreSQL.",
    on="network",
    inject=_has(NARROW),
    heal=_has(Trouble()),
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="a publication of fewer tables and columns",
)
SILENT_NETWORK = Fault(
    "silent-network",
    "Lets nothing pass between connector and PostgreSQL, without closing a connection.",
    on="network",
    inject=_has(SILENT),
    heal=_has(Trouble()),
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="wal_sender_timeout and TCP keepalive decide when both ends notice",
)
HALF_OPEN = Fault(
    "half-open-connections",
    "Ends PostgreSQL's side of every connection from the connector, which is not told: to it they"
    " are there, and nothing comes. Afterwards they are reset.",
    on="network",
    inject=_relayed("source", Relay.desert),
    heal=_relayed("source", Relay.tell_deserted),
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="TCP keepalive and a short status interval on the client's side: only who sends finds"
    " out",
)
RESET_CONNECTIONS = Fault(
    "reset-connections",
    "Breaks every connection between connector and PostgreSQL with a reset, in mid-message.",
    on="network",
    inject=_reset(),
    holds=False,
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="retriable.restart.connector.wait.ms decides how soon the connector is back",
)
SLOW_SINK = Fault(
    "slow-sink-network",
    "Delays what passes between the platform and its Postgres sink by 150 to 200 ms in each"
    " direction.",
    on="sink",
    inject=_has(SLOW, "sink"),
    heal=_has(Trouble(), "sink"),
    needs=("sink relay",),
    repeats_s=REPEATS_S,
    better="larger batches and more partitions: each batch waits for its answer",
)
SILENT_SINK = Fault(
    "silent-sink-network",
    "Lets nothing pass between the platform and its Postgres sink, without closing a connection.",
    on="sink",
    inject=_has(SILENT, "sink"),
    heal=_has(Trouble(), "sink"),
    needs=("sink relay",),
    repeats_s=REPEATS_S,
    better="statement time-outs on the client's side, and TCP keepalive",
)
RESET_SINK = Fault(
    "reset-sink-connections",
    "Breaks every connection between the platform and its Postgres sink with a reset, in"
    " mid-message: whether a statement took effect is not known then.",
    on="sink",
    inject=_reset("sink"),
    holds=False,
    needs=("sink relay",),
    repeats_s=REPEATS_S,
    better="offsets in the same transaction as the rows, so that a repeat has no effect",
)
SLOW_KAFKA = Fault(
    "slow-kafka-network",
    "Delays what passes between Kafka and the platform, or the direct reader, by 150 to 200 ms in"
    " each direction.",
    on="broker",
    inject=_has(SLOW, "kafka"),
    heal=_has(Trouble(), "kafka"),
    needs=("kafka relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="larger fetches and batches; several requests on their way",
)
SILENT_KAFKA = Fault(
    "silent-kafka-network",
    "Lets nothing pass between Kafka and the platform, or the direct reader, without closing a"
    " connection.",
    on="broker",
    inject=_has(SILENT, "kafka"),
    heal=_has(Trouble(), "kafka"),
    needs=("kafka relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="session.timeout.ms above the pauses that must be ridden out; socket.keepalive.enable",
)
RESET_KAFKA = Fault(
    "reset-kafka-connections",
    "Breaks every connection between Kafka and the platform, or the direct reader, with a reset, in"
    " mid-message.",
    on="broker",
    inject=_reset("kafka"),
    holds=False,
    needs=("kafka relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="an idempotent producer; reconnect.backoff.ms decides how soon it is back",
)
SILENT_REGISTRY = Fault(
    "silent-registry-network",
    "Lets nothing pass between the schema registry and Connect or the platform, without closing a"
    " connection, while the source table gets a new column: its schema can be neither stored nor"
    " read.",
    on="registry",
    inject=_hide_registry,
    heal=_show_registry,
    needs=("registry relay", "database", "own table"),
    repeats_s=REPEATS_S,
    explains=(ALTERED, CAPTURE),
    better="a registry with several instances, and schemas that are stored before a table changes",
)
