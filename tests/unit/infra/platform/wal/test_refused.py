"""What a service can never take is put aside with its cause and position, or ends the reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.platform.transports.transport import PublishRefusedError, Record
from infra.platform.wal.refused import RefusedChanges
from infra.platform.wal.serialise.commit_source import CommitSource

SOURCE = CommitSource(0x16B374D848, 5, 7)


def test_without_a_file_the_first_one_ends_it_by_name() -> None:
    with pytest.raises(
        PublishRefusedError,
        match=r"too large: the change of transaction 7 at 16/B374D848 for 'orders' with key b'3'",
    ):
        RefusedChanges(None).refuse(SOURCE, Record("orders", b"3", b"{}"), "too large")


def test_a_file_has_one_line_each_with_cause_position_and_value(tmp_path: Path) -> None:
    refused = RefusedChanges(tmp_path / "refused")
    refused.refuse(SOURCE, Record("orders", b"3", b'{"id":3}'), "too large")
    refused.refuse(SOURCE, Record("orders", b"\xff", b"\0\xff"), "too large")

    text, binary = map(json.loads, (tmp_path / "refused").read_text(encoding="utf-8").splitlines())
    assert refused.count == 2
    assert text["value"] == '{"id":3}'
    assert (text["cause"], text["source"]["lsn"], text["key"]) == ("too large", SOURCE.lsn, "3")
    assert (binary["value_base64"], binary["key"], binary["bytes"]) == ("AP8=", "\\xff", 2)
