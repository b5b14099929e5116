"""The things that can be measured and audited with a pipeline as it was found, and for the others
the reason why not. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from infra.stack.pipeline_file.found import PipelineFound

#: Why the log of MariaDB says no latency.
WHOLE_SECONDS = "MariaDB's log has the time of a commit in whole seconds"


@dataclass(frozen=True, slots=True)
class Coverage:
    """One thing that could be measured or audited."""

    what: str
    covered: bool
    why: str
    #: The parts of the pipeline that it depends on.
    needs: tuple[str, ...] = ()


def coverage(found: PipelineFound) -> list[Coverage]:
    """Everything that a run could measure or audit of this pipeline."""
    told = [*_topic(found), *_sink(found), *_source(found), *_gauges(found)]
    return [_there(one, found.absent) for one in told]


def _there(one: Coverage, absent: frozenset[str]) -> Coverage:
    """The same; not covered if a part that it needs was looked for and is missing."""
    missing = sorted(absent & set(one.needs))
    if not one.covered or not missing:
        return one
    return replace(one, covered=False, why=f"its {missing[0]} is not there")


def _topic(found: PipelineFound) -> Iterator[Coverage]:
    has = "kafka" in found.sections
    why = (
        (f"the topic {found.topic}" if found.topic else "a topic of the run's own")
        if has
        else "the pipeline has no [kafka]; what is between is seen as one"
    )
    yield Coverage("completeness and order at the topic", has, why, ("topic",))
    if found.source == "mariadb":
        yield Coverage("capture latency", False, WHOLE_SECONDS)
    elif not has:
        yield Coverage("capture latency", False, why)
    elif found.append_time is False:
        told = "the topic's time is the producer's; set message.timestamp.type=LogAppendTime"
        yield Coverage("capture latency", False, told)
    else:
        yield Coverage("capture latency", True, "from the commit to the append", ("topic",))


def _sink(found: PipelineFound) -> Iterator[Coverage]:
    what = "completeness and end-to-end latency at the sink"
    for tap in found.taps:
        kind = tap.partition(":")[0]
        at = f" ({tap})" * (len(found.taps) > 1)
        yield Coverage(what + at, True, f"the tap {tap}")
        states = kind in ("postgres", "iceberg-state")
        why = "a table shows what it holds, not each change" if states else "each event is seen"
        yield Coverage(f"order at the sink{at}", not states, why)
    if found.taps:
        return
    if found.platform in ("", "reference"):
        yield Coverage(what, True, "the reference platform, with the sink of --sink")
    elif found.platform == "none":
        why = "nothing says where events come out; add a [[tap]]"
        yield Coverage(what, False, why)
    else:
        yield Coverage(what, True, "the platform's own telemetry")


def _source(found: PipelineFound) -> Iterator[Coverage]:
    if "source" not in found.sections:
        yield Coverage("commit latency", False, "the pipeline has no [source]")
        return
    if found.source == "mariadb":
        yield Coverage("commit latency", False, WHOLE_SECONDS)
        told = "tables of the run's own, with whole rows in the log"
        yield Coverage("updates and deletes", True, told)
        return
    yield Coverage("commit latency", True, "from the intended time to the commit")
    if found.table is None:
        yield Coverage("updates and deletes", True, "tables of the run's own", ("table",))
        return
    name, identity = found.table.name, found.table.identity
    full = identity == "full"
    remedy = f"ALTER TABLE {name} REPLICA IDENTITY FULL"
    why = (
        "REPLICA IDENTITY FULL: a delete carries its probe"
        if full
        else f"REPLICA IDENTITY {identity.upper()}: a delete carries no probe; {remedy}"
    )
    yield Coverage("deletes", full, why)
    told = "has a column probe" if found.table.probe else "has no column probe; add one (text)"
    yield Coverage("rows by their probe", found.table.probe, f"{name} {told}")


def _gauges(found: PipelineFound) -> Iterator[Coverage]:
    why = f"slot {found.slot}" if found.slot else "no slot is known; name it as [capture] slot"
    if found.source == "mariadb":
        why = "MariaDB has no slots, and does not know how far a reader has come"
    yield Coverage("slot lag", bool(found.slot), why, ("slot",))
    if found.connector:
        yield Coverage(
            "the connector's state", True, f"connector {found.connector}", ("connector",)
        )
    elif found.capture == "debezium" and "connect" in found.sections:
        yield Coverage("the connector's state", True, "a connector of the run's own")
    else:
        why = "no connector is named, and none is made (--capture debezium with a [connect])"
        yield Coverage("the connector's state", False, why)
    known = found.group or found.platform in ("", "reference")
    why = f"group {found.group}" if found.group else "the reference platform's own group"
    told = why if known else "no group is known; name it as [platform] group"
    yield Coverage("consumer lag", bool(known) and "kafka" in found.sections, told)
