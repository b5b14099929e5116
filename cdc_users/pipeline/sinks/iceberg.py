"""The Iceberg sink: a warehouse in a directory of the run's own."""

from __future__ import annotations

from pathlib import Path

from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import IcebergSettings, IcebergSideSettings
from cdc_users.pipeline.declaration import Arguments, SinkDeclaration
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground
from infra.stack.supervise.state import state_of


def iceberg_arguments(prepared: Prepared, _: TapPlace) -> Arguments:
    """Where the platform writes."""
    names = prepared.names
    return {"iceberg-warehouse": names.warehouse, "iceberg-table": names.sink_table}


def iceberg_tap(prepared: Prepared) -> IcebergSettings:
    """The tap on a table to which every event is appended."""
    names = prepared.names
    return IcebergSettings(warehouse=names.warehouse, table=names.sink_table)


def _tap(prepared: Prepared) -> IcebergSettings | None:
    """In append mode every event is seen; upsert leaves only the last state of a key."""
    return iceberg_tap(prepared) if prepared.pipeline.iceberg_mode == "append" else None


def _final(prepared: Prepared) -> IcebergSideSettings:
    names, mode = prepared.names, prepared.pipeline.iceberg_mode
    return IcebergSideSettings(warehouse=names.warehouse, table=names.sink_table, mode=mode)


def make_warehouse(ground: Ground) -> MadeNames:
    """Make an empty warehouse, and name the table that will be in it."""
    place = state_of(ground.checkout).runs / f"{ground.name}-iceberg"
    Path(ground.note("directory", str(place))).mkdir(parents=True)
    return {"warehouse": str(place), "sink_table": f"{ground.name}.{ground.tables[0]}"}


ICEBERG = SinkDeclaration(
    "iceberg",
    arguments=iceberg_arguments,
    tap=_tap,
    final=_final,
    provision=make_warehouse,
    takes=("iceberg-mode", "iceberg-commit-interval-ms"),
    package="pyiceberg",
    extra="iceberg",
)
