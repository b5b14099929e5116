"""A local warehouse is found again, whatever its directory is called."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyiceberg")

import pyarrow as pa
from pyiceberg.catalog import load_catalog

from infra.schemas.warehouse import catalog_file, local_catalog

ODD = ("plain", "umläut", "a,b", "a#b", "a b", "a?b", "a%20b", "a:b", 'it\'s "one"', "日本")


@pytest.mark.parametrize("name", ODD)
def test_what_is_written_lies_in_the_directory_and_is_read_again(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    rows = pa.table({"id": [1, 2, 3]})

    catalog = load_catalog("one", **local_catalog(root))
    catalog.create_namespace("n")
    catalog.create_table("n.t", schema=rows.schema).append(rows)
    again = load_catalog("one", **local_catalog(root)).load_table("n.t")

    assert again.scan().to_arrow() == rows
    assert catalog_file(root).exists()
    assert len(list(root.rglob("*.parquet"))) == 1
    assert list(tmp_path.iterdir()) == [root]
