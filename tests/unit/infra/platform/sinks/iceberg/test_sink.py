"""What the Iceberg sink says of a catalog that it cannot open: where it is, and none of its
secrets.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.platform.process.error import ConfigError, RetryableError, UnreachableError
from infra.platform.sinks.iceberg.plugin import read_properties
from infra.platform.sinks.iceberg.sink import IcebergSink
from tests.batches import Partition
from tests.change_events import inserts


class TalkativeSink(IcebergSink):
    """Its catalog fails with all properties in the text, as some of PyIceberg's errors have
    them.
    """

    def _load(self) -> None:
        raise ValueError(f"failed with {self._properties}")


@pytest.mark.parametrize(
    ("properties", "said", "kind"),
    [
        (
            {"type": "sql", "uri": "postgresql+psycopg2://bob:hush%21@127.0.0.1:1/x"},
            r"\(sql at .*://127\.0\.0\.1:1\)",
            UnreachableError,
        ),
        (
            {"type": "hive", "uri": "thrift://127.0.0.1:1", "token": "hush"},
            r"\(hive at thrift://127\.0\.0\.1:1\)",
            ConfigError,  # Hive's library is not among this project's
        ),
        (
            {"uri": "nothing://bob:hush%21@127.0.0.1:1/x"},
            r"\(rest at nothing://127\.0\.0\.1:1\)",
            UnreachableError,
        ),
    ],
)
async def test_a_catalog_that_cannot_be_opened_is_named_without_its_secrets(
    properties: dict[str, str], said: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=said) as caught:
        await IcebergSink(properties, "a.b").open()

    assert "hush" not in str(caught.value)


async def test_a_failure_under_way_shows_no_secrets_either() -> None:
    sink = TalkativeSink({"type": "x", "token": "hush"}, "a.b", upsert=False)
    await sink.write(Partition().batch(list(inserts(1))))

    for failing in (sink.positions([]), sink.flush()):
        with pytest.raises(RetryableError, match="failed with") as caught:
            await failing
        assert "hush" not in str(caught.value)


def test_a_bad_line_of_the_properties_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "catalog.properties"
    path.write_text("# a catalog\ntype=glue\nglue.secret-access-key: hush\n")

    with pytest.raises(ConfigError, match="line 3 has no '='") as caught:
        read_properties(str(path))

    assert "hush" not in str(caught.value)
