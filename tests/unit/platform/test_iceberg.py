"""What the Iceberg sink says of a catalog that it cannot open: where it is, and none of its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.platform.error import ConfigError, UnreachableError
from infra.platform.sinks.iceberg import IcebergSink, read_properties


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"type": "sql", "uri": "postgresql+psycopg2://bob:hush%21@127.0.0.1:1/x"}, r"\(sql at .*://127\.0\.0\.1:1\)"),
        ({"type": "hive", "uri": "thrift://127.0.0.1:1", "token": "hush"}, r"\(hive at thrift://127\.0\.0\.1:1\)"),
        ({"uri": "nothing://bob:hush%21@127.0.0.1:1/x"}, r"\(rest at nothing://127\.0\.0\.1:1\)"),
    ],
)
async def test_a_catalog_that_cannot_be_opened_is_named_without_its_secrets(
    properties: dict[str, str], said: str
) -> None:
    with pytest.raises(UnreachableError, match=said) as caught:
        await IcebergSink(properties, "a.b").open()

    assert "hush" not in str(caught.value)


def test_a_bad_line_of_the_properties_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "catalog.properties"
    path.write_text("# a catalog\ntype=glue\nglue.secret-access-key: hush\n")

    with pytest.raises(ConfigError, match="line 3 has no '='") as caught:
        read_properties(str(path))

    assert "hush" not in str(caught.value)
