"""Which faults were asked for, and which of them a pipeline and this machine allow."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from cdc_users.options.parse import words
from cdc_users.pipeline.declaration import captures, is_direct, sinks, sources, transports
from cdc_users.scenario import Pipeline
from infra.faults.fault import Fault, faults
from infra.faults.small_disk import may_mount

ALL = "all"


def fault_names(text: str) -> tuple[str, ...]:
    """Names of faults by comma, or `all`; raises ValueError that names every unknown one."""
    named, known = words(text), faults().by_name
    if named == (ALL,):
        return named
    unknown = [f"{name!r} is no fault; {_nearest(name)}" for name in named if name not in known]
    twice = sorted({name for name in named if named.count(name) > 1})
    unknown += [f"{name} is named twice; --rounds repeats faults" for name in twice]
    if unknown or not named:
        raise ValueError(
            "; ".join(unknown) or f"{text!r} names no fault; docs/faults.md lists them"
        )
    return named


def _nearest(name: str) -> str:
    if name == ALL:
        return "write all alone"
    near = difflib.get_close_matches(name, faults().by_name, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "docs/faults.md lists them; or write all"


def _from_postgres(pipeline: Pipeline) -> bool:
    return pipeline.source == "postgres"


def _captured(pipeline: Pipeline, capture: str) -> bool:
    return _from_postgres(pipeline) and pipeline.capture == capture


def _read_by_a_process(pipeline: Pipeline) -> bool:
    """Whether the run has started a process that reads the database's log."""
    capture = captures().by_name[pipeline.capture]
    by_process = capture.is_ours or (capture.direct and capture.is_debezium)
    return sources().by_name[pipeline.source].database and by_process


def _sink_is_seen(pipeline: Pipeline) -> bool:
    declared = sinks().by_name[pipeline.sink]
    return declared.seen or bool(pipeline.sink_tap)


def _written_by_us(pipeline: Pipeline, sink: str) -> bool:
    """Whether the reference platform writes to this sink."""
    return pipeline.sink == sink and not (pipeline.platform or pipeline.sink_tap)


#: Whether a pipeline has something that a fault needs, and the remedy where it does not.
FaultNeed = tuple[Callable[[Pipeline], bool], str]
_REFERENCE_POSTGRES: FaultNeed = (
    lambda pipeline: _written_by_us(pipeline, "postgres"),
    "the reference platform's table; use --sink postgres without --platform",
)
_OWN_CONNECTOR: FaultNeed = (
    lambda pipeline: _captured(pipeline, "debezium") and not pipeline.connector,
    "a connector of the run's own; use --capture debezium without --connector",
)
_SMALL_DISK: FaultNeed = (
    lambda _: may_mount(),
    "the right to mount a tmpfs (Linux, root with CAP_SYS_ADMIN), to have a disk to fill",
)
#: The captures that read a slot which the run makes, and nothing but that slot.
OWN_SLOT = ("debezium", "wal", "debezium-server")
#: Everything that a fault may need of a pipeline, by name.
NEEDS: Mapping[str, FaultNeed] = {
    # Whether servers are ours, and processes, does not depend on the pipeline
    # (provision/allow_list.py checks it).
    "stack": (lambda _: True, ""),
    "process stack": (lambda _: True, ""),
    "standby": (
        lambda pipeline: (
            _from_postgres(pipeline)
            and pipeline.capture in OWN_SLOT
            and pipeline.transport != "postgres"
            and not (pipeline.connector or pipeline.sink_tap)
        ),
        f"a slot of the run's own that a standby can have; use --capture {', '.join(OWN_SLOT)}"
        " without --connector and --sink-tap",
    ),
    "database": (
        _from_postgres,
        "PostgreSQL as source; use --source postgres",
    ),
    "own table": (
        lambda pipeline: _from_postgres(pipeline) and not pipeline.table,
        "a table of the run's own; leave --table and --connector out",
    ),
    "debezium": (
        lambda pipeline: _captured(pipeline, "debezium"),
        "Debezium; use --capture debezium",
    ),
    "own connector": _OWN_CONNECTOR,
    "own topic": (
        lambda pipeline: transports().by_name[pipeline.transport].of_kafka and not pipeline.topic,
        "a topic of the run's own; use --transport kafka without --topic",
    ),
    # Connect must reach the run's relay on loopback (provision/allow_list.py checks the rest).
    "relay": _OWN_CONNECTOR,
    "reader": (
        _read_by_a_process,
        "the direct reader or Debezium Server; use --capture wal or debezium-server",
    ),
    "topic": (
        lambda pipeline: transports().by_name[pipeline.transport].of_kafka,
        "a topic; use --transport kafka",
    ),
    "platform": (
        lambda pipeline: pipeline.platform != "none" and not is_direct(pipeline),
        "a platform that the run has started",
    ),
    "one platform": (
        lambda pipeline: (
            pipeline.instances == 1 and pipeline.platform != "none" and not is_direct(pipeline)
        ),
        "one instance of a platform that the run has started; use --instances 1",
    ),
    "sink tap": (
        _sink_is_seen,
        "a sink that can be watched while its platform is away; use --sink postgres, webhook or"
        " iceberg",
    ),
    "webhook sink": (
        lambda pipeline: pipeline.sink == "webhook" and not pipeline.sink_tap,
        "the run's own webhook receiver; use --sink webhook",
    ),
    "postgres sink": (
        lambda pipeline: pipeline.sink == "postgres",
        "a table as sink; use --sink postgres",
    ),
    "reference postgres sink": _REFERENCE_POSTGRES,
    "sink relay": _REFERENCE_POSTGRES,
    "small disk": _SMALL_DISK,
    "small server disk": _SMALL_DISK,
    "kafka relay": (
        lambda pipeline: (
            transports().by_name[pipeline.transport].of_kafka and not pipeline.platform
        ),
        "the reference platform, or the direct reader, and Kafka; use --transport kafka without"
        " --platform",
    ),
    "registry relay": (
        lambda pipeline: (
            _captured(pipeline, "debezium") and not (pipeline.connector or pipeline.platform)
        ),
        "a connector and a platform of the run's own that read schemas; use --capture debezium"
        " without --connector and --platform",
    ),
    "iceberg sink": (
        lambda pipeline: _written_by_us(pipeline, "iceberg"),
        "the reference platform's Iceberg table; use --sink iceberg without --platform",
    ),
}


def lacking(fault: Fault, pipeline: Pipeline) -> list[str]:
    """Why a fault cannot be done to a pipeline, each reason with its remedy."""
    return [
        f"--faults {fault.name} needs {remedy}"
        for need in fault.needs
        for allows, remedy in [NEEDS[need]]
        if not allows(pipeline)
    ]


def chosen(named: Sequence[str], pipeline: Pipeline) -> tuple[list[str], list[str]]:
    """The faults that can be done to a pipeline, and the reasons why other named ones cannot."""
    names = list(faults().by_name) if tuple(named) == (ALL,) else list(named)
    reasons = {name: lacking(faults().by_name[name], pipeline) for name in names}
    possible = [name for name in names if not reasons[name]]
    return possible, [reason for name in names for reason in reasons[name]]
