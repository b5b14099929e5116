"""Apache Iceberg's own sink in Kafka Connect, in place of the reference platform: it appends each
change to a table of a warehouse of the run's own.
"""

from __future__ import annotations

import os

from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import IcebergSideSettings
from cdc_users.pipeline.declaration import Arguments, SinkDeclaration
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground, consumer_group
from cdc_users.pipeline.sinks.iceberg import iceberg_arguments, iceberg_tap, make_warehouse


def _control(group: str) -> str:
    """The topic in which the sink's tasks agree on commits."""
    return f"{group}-control"


def _arguments(prepared: Prepared, place: TapPlace) -> Arguments:
    return {**iceberg_arguments(prepared, place), "control-topic": _control(prepared.names.group)}


def _final(prepared: Prepared) -> IcebergSideSettings:
    names = prepared.names
    return IcebergSideSettings(warehouse=names.warehouse, table=names.sink_table)


def _provision(ground: Ground) -> MadeNames:
    from cdc_users.pipeline.provision.kafka_topics import create_topic

    group = consumer_group(ground.name)
    # The sink's own: its coordinator's, and one for each task with a random end.
    ground.note("group", f"{group}-coord")
    ground.note("groups", f"{group}-task-")
    create_topic(ground.endpoints.kafka_bootstrap, ground.note("topic", _control(group)), 1)
    return make_warehouse(ground)


def _fetch() -> None:
    from infra.pipelines.fetch import libraries
    from infra.stack.artifacts.artifact import print_progress
    from infra.stack.artifacts.java import java_files

    java_files(os.environ, print_progress)
    libraries("iceberg-connect", os.environ, print_progress)


ICEBERG_CONNECT = SinkDeclaration(
    "iceberg-connect",
    arguments=_arguments,
    tap=iceberg_tap,
    final=_final,
    provision=_provision,
    takes=("iceberg-commit-interval-ms",),
    package="pyiceberg",
    extra="iceberg",
    writes=False,
    module="infra.pipelines.iceberg_connect",
    ready_s=120.0,
    fetch=_fetch,
)
