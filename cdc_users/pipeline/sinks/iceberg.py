"""The Iceberg sink: a warehouse in a directory of the run's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdc_users.pipeline.declaration import SinkDeclaration
from cdc_users.pipeline.prepared import Prepared
from cdc_users.pipeline.provision.ground import Ground


def _arguments(prepared: Prepared, _: Mapping[str, Any]) -> Mapping[str, Any]:
    names = prepared.names
    return {"iceberg-warehouse": names.warehouse, "iceberg-table": names.sink_table}


def _table(prepared: Prepared) -> Mapping[str, Any]:
    place = {"warehouse": prepared.names.warehouse, "table": prepared.names.sink_table}
    return {"kind": "iceberg", **place}


def _tap(prepared: Prepared) -> Mapping[str, Any] | None:
    """What is appended is seen event by event; an upsert leaves only the last state."""
    return _table(prepared) if prepared.pipeline.iceberg_mode == "append" else None


def _provision(ground: Ground) -> Mapping[str, Any]:
    place = ground.checkout / ".stack" / "runs" / f"{ground.name}-iceberg"
    Path(ground.note("directory", str(place))).mkdir(parents=True)
    return {"warehouse": str(place), "sink_table": f"{ground.name}.{ground.tables[0]}"}


ICEBERG = SinkDeclaration(
    "iceberg",
    arguments=_arguments,
    tap=_tap,
    final=lambda prepared: {**_table(prepared), "mode": prepared.pipeline.iceberg_mode},
    provision=_provision,
    takes=("iceberg-mode", "iceberg-commit-interval-ms"),
    package="pyiceberg",
    extra="iceberg",
)
