"""The configuration of a Kafka Connect worker with Iceberg's sink, as their own properties. Pure.

Iceberg documentation, "Kafka Connect". Only what a run decides is set; everything else is the
upstream default, so a run measures what users have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.schemas.warehouse import catalog_file, local_catalog
from infra.stack.servers import settings
from infra.stack.servers.port import HOST
from infra.stack.servers.settings import Listener

CATALOG = "cdc"
#: Settings of the stack's distributed worker that a worker without a group has not.
_OF_A_GROUP = ("config.storage.", "offset.storage.", "status.storage.", "group.id", "scheduled.")


@dataclass(frozen=True, slots=True)
class IcebergConnectSettings:
    """The run's choices: what is read, and the table in a local warehouse to which it goes.

    `registry` is the base of Apicurio's addresses; `control` is the topic in which the sink's tasks
    agree on commits, and `group` reads the `topics`.
    """

    bootstrap: str
    registry: str
    topics: tuple[str, ...]
    group: str
    control: str
    warehouse: Path
    table: str
    commit_interval_ms: int


def worker(run: IcebergConnectSettings, port: int, place: Path) -> dict[str, str]:
    """A standalone worker whose REST interface is at a port; `place` has its files."""
    shared = settings.connect(Listener(HOST, port, HOST), run.bootstrap, run.registry)
    kept = {name: value for name, value in shared.items() if not name.startswith(_OF_A_GROUP)}
    own = {
        "offset.storage.file.filename": str(place / "offsets.dat"),
        "plugin.path": str(place / "plugins"),
    }
    return {**kept, **own}


def connector(run: IcebergConnectSettings) -> dict[str, str]:
    """The sink: each change is appended as a row, with the operation in `_cdc.op`."""
    catalog = {
        "": CATALOG,
        ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        ".uri": f"jdbc:sqlite:{catalog_file(run.warehouse.absolute())}",
        ".warehouse": local_catalog(run.warehouse)["warehouse"],
        ".io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
    }
    return {
        "name": run.group,
        "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
        "tasks.max": "1",
        "topics": ",".join(run.topics),
        "transforms": "debezium",
        "transforms.debezium.type": "org.apache.iceberg.connect.transforms.DebeziumTransform",
        "iceberg.tables": run.table,
        "iceberg.tables.auto-create-enabled": "true",
        "iceberg.control.topic": run.control,
        "iceberg.control.group-id-prefix": f"{run.group}-task-",
        "iceberg.control.commit.interval-ms": str(run.commit_interval_ms),
        "iceberg.connect.group-id": run.group,
        "consumer.override.group.id": run.group,
        "consumer.override.auto.offset.reset": "earliest",
        **{f"iceberg.catalog{name}": value for name, value in catalog.items()},
    }
