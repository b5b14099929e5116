"""From options to what stands between source and sink."""

from __future__ import annotations

from cdc_users.error import OptionsError
from cdc_users.options import Options
from cdc_users.scenario import Pipeline


def pipeline(options: Options) -> Pipeline:
    """The pipeline of a scenario that compares none; raises OptionsError where an option names several."""
    several = [name for name in ("partitions", "instances", "sink_delay") if len(getattr(options, name)) > 1]
    if several:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in several)
        raise OptionsError([f"{flags} names several values, and this scenario takes one; name one"])
    return pipeline_with(options, options.partitions[0], options.instances[0], options.sink_delay[0])


def pipeline_with(options: Options, partitions: int, instances: int, sink_delay_s: float) -> Pipeline:
    """The options' pipeline with these of the values that a scenario compares."""
    return Pipeline(
        source=options.source,
        capture=options.capture,
        transport=options.transport,
        sink=options.sink,
        partitions=partitions,
        instances=instances,
        batch_size=options.batch_size,
        max_buffered_messages=options.max_buffered_messages,
        sink_delay_s=sink_delay_s if options.sink == "slow" else 0.0,
        iceberg_mode=options.iceberg_mode,
        iceberg_commit_interval_s=options.iceberg_commit_interval,
    )
