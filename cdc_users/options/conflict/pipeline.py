"""What the options of the pipeline need and exclude."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.options.conflict.rule import (
    UNREADABLE,
    OptionValues,
    by_reader,
    capture_of,
    is_surely_direct,
    runs_already,
)
from cdc_users.pipeline.declaration import captures, sources, transports
from cdc_users.pipeline.outlets.sink_tap import readable


def buffer_holds_a_batch(values: OptionValues) -> Sequence[str]:
    """The buffer must hold one batch at least."""
    buffered, batch = values.get("max_buffered_messages"), values.get("batch_size")
    if buffered and batch and buffered < batch:
        return [
            f"--max-buffered-messages {buffered} is below --batch-size {batch}; a batch would never"
            " fit, raise it"
        ]
    return []


def instances_have_partitions(values: OptionValues) -> Sequence[str]:
    """Each instance needs a partition."""
    partitions, instances = values.get("partitions"), values.get("instances")
    if not partitions or not instances:
        return []
    fewest, most = min(partitions), max(instances)
    if most > fewest:
        return [
            f"--instances {most} is more than --partitions {fewest}; {most - fewest} would idle,"
            " raise --partitions"
        ]
    return []


def direct_reader_has_a_database(values: OptionValues) -> Sequence[str]:
    """The direct reader reads a database's log."""
    source = sources().by_name.get(str(values.get("source")))
    if by_reader(values) and source is not None and not source.database:
        return [
            f"--capture {values['capture']} needs --source postgres: straight to the topic there"
            " is nothing to capture"
        ]
    return []


def capture_reads_the_source(values: OptionValues) -> Sequence[str]:
    """Each capture has the databases that it can read."""
    capture, source = capture_of(values), sources().by_name.get(str(values.get("source")))
    if capture is None or source is None or not source.database or source.name in capture.sources:
        return []
    others = [one.name for one in captures().by_name.values() if source.name in one.sources]
    return [
        f"--source {source.name} is not possible with --capture {capture.name}, which reads"
        f" {', '.join(capture.sources)}; use --capture {' or '.join(others)}"
    ]


def capture_publishes_there(values: OptionValues) -> Sequence[str]:
    """Each capture has the transports that it can write to."""
    capture = capture_of(values)
    transport = transports().by_name.get(str(values.get("transport")))
    if capture is None or transport is None or capture.publishes_to(transport):
        return []
    others = [one.name for one in captures().by_name.values() if one.publishes_to(transport)]
    known = [one.name for one in transports().by_name.values() if capture.publishes_to(one)]
    return [
        f"--transport {transport.name} is not possible with --capture {capture.name}, which has"
        f" {', '.join(known)}; it needs --capture {' or '.join(others)}"
    ]


def the_reader_is_the_platform(values: OptionValues) -> Sequence[str]:
    """The direct reader is the platform itself, so `--platform` has no meaning beside it."""
    ours = is_surely_direct(values) and not runs_already(values)
    if ours and values.get("platform") == "none":
        return [
            f"--platform none is not possible with --capture {values['capture']}: the reader is the"
            " platform; leave it out"
        ]
    return []


def nothing_is_captured_here(values: OptionValues) -> Sequence[str]:
    """If the pipeline is the user's own from the table on, both of its ends must be named."""
    if not runs_already(values):
        return []
    found = []
    ends = [values.get(name, UNREADABLE) for name in ("table", "sink_tap")]
    if not all(ends) or values.get("platform", UNREADABLE) not in ("none", UNREADABLE):
        found.append(
            "--capture none is a pipeline of yours that runs already; it needs --platform none, the"
            " --table where events go in and the --sink-tap where they come out"
        )
    changes = any((values.get("mix") or ())[1:])
    watched = readable(values.get("sink_tap") or "") if changes else ()
    for kind in dict.fromkeys(tap.kind for tap in watched if tap.outlet.states):
        other = {"iceberg-state": "iceberg"}.get(kind, "postgres-log")
        found.append(
            f"--sink-tap {kind} sees a table's rows and not each change, and with --capture none"
            f" nothing else is seen; with --mix use {other}, or insert alone"
        )
    return found


def the_stream_is_the_end(values: OptionValues) -> Sequence[str]:
    """The direct reader's stream is the end of the pipeline, so it has no sink."""
    sink = values.get("sink", "counting")
    if is_surely_direct(values) and sink != "counting":
        return [
            f"--sink {sink} is not possible with --capture {values['capture']} and this transport:"
            " its stream is the end; leave it out, or use --transport kafka"
        ]
    return []


def a_slot_has_one_reader(values: OptionValues) -> Sequence[str]:
    """Two processes cannot read one slot."""
    most = max(values.get("instances") or (1,))
    if is_surely_direct(values) and most > 1:
        return [
            f"--instances {most} is not possible with --capture {values['capture']}: a slot has one"
            " reader; leave it out"
        ]
    return []
