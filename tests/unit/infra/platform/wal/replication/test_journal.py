"""What the reader writes down is there before the server hears of it, and tells one slot from
another.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.platform.wal.error import SetupError
from infra.platform.wal.replication.journal import OwnObjects, Position, abandoned
from infra.replication.stream import lsn_number, lsn_text


def test_a_position_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    Position(path, "cluster", "slot").move(0x16B374D848)

    assert Position(path, "cluster", "slot").lsn == 0x16B374D848


def test_without_a_file_a_position_is_not_known_at_first(tmp_path: Path) -> None:
    position = Position(None, "cluster", "slot")
    assert position.lsn is None

    position.move(5)

    assert position.lsn == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("system", "slot"), [("other", "slot"), ("cluster", "other")])
def test_a_position_of_another_slot_or_cluster_is_refused(
    tmp_path: Path, system: str, slot: str
) -> None:
    Position(tmp_path / "state.json", "cluster", "slot").move(5)

    with pytest.raises(SetupError, match="name another file or remove it"):
        Position(tmp_path / "state.json", system, slot)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"system": "cluster", "slot": "slot"}', "\0"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="utf-8")

    with pytest.raises(SetupError, match="cannot be read"):
        Position(tmp_path / "state.json", "cluster", "slot")


def test_objects_of_a_living_owner_are_not_abandoned(tmp_path: Path) -> None:
    OwnObjects(tmp_path, "slot").note("host=x", {"publication": "p", "slot": "slot"})

    assert list(tmp_path.iterdir()) != []
    assert list(abandoned(tmp_path)) == []


def test_objects_of_a_dead_owner_are_found_in_order(tmp_path: Path) -> None:
    OwnObjects(tmp_path, "slot").note("host=x", {"publication": "p", "slot": "slot"})
    (file,) = tmp_path.iterdir()
    file.write_text(
        file.read_text(encoding="utf-8").replace('"started_s": ', '"started_s": 1'),
        encoding="utf-8",
    )

    ((path, dsn, objects),) = abandoned(tmp_path)

    assert (path, dsn) == (file, "host=x")
    assert list(objects.items()) == [("publication", "p"), ("slot", "slot")]


@pytest.mark.parametrize(
    ("text", "number"),
    [("0/0", 0), ("16/B374D848", 0x16B374D848), ("FFFFFFFF/FFFFFFFF", 2**64 - 1)],
)
def test_positions_are_read_and_written_as_postgres_does(text: str, number: int) -> None:
    assert lsn_number(text) == number
    assert lsn_text(number) == text
