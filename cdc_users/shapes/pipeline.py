"""From options to a pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cdc_users.error import OptionsError
from cdc_users.options.options import Options
from cdc_users.options.table.record import flag_of
from cdc_users.pipeline.declaration import own_options
from cdc_users.scenario import Pipeline


def one_of(options: Options, name: str) -> Any:
    """The only value of an option that may have several; raises OptionsError if it has several."""
    values = getattr(options, name)
    if len(values) > 1:
        raise OptionsError(
            [f"{flag_of(name)} has {len(values)} values, and this scenario takes one; name one"]
        )
    return values[0]


def pipeline(options: Options) -> Pipeline:
    """The pipeline of a scenario that compares none; raises OptionsError if an option names
    several.
    """
    return pipeline_with(
        options, *(one_of(options, name) for name in ("partitions", "instances", "sink_delay"))
    )


def pipeline_with(
    options: Options, partitions: int, instances: int, sink_delay_s: float
) -> Pipeline:
    """The options' pipeline with these values for the options that a scenario may compare."""
    made = Pipeline(
        source=options.source,
        capture=one_of(options, "capture"),
        transport=options.transport,
        transport_endpoint=getattr(options, f"{options.transport}_endpoint", ""),
        sink=options.sink,
        partitions=partitions,
        instances=instances,
        batch_size=options.batch_size,
        max_buffered_messages=options.max_buffered_messages,
        sink_delay_s=sink_delay_s if options.sink == "slow" else 0.0,
        iceberg_mode=options.iceberg_mode,
        iceberg_commit_interval_s=options.iceberg_commit_interval,
        platform="" if options.platform == "reference" else options.platform,
        topic=options.topic,
        connector=options.connector,
        table=options.table,
        probe_column=options.probe_column,
        add_probe=options.add_probe,
        keep_rows=options.keep_rows,
        sink_tap=options.sink_tap,
        probe_path=options.probe_path,
        group=options.group,
    )
    own = tuple((option.name, options.own[option.name]) for option in own_options(made))
    return replace(made, own=own)
