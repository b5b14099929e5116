"""What the reader writes down is there before the server hears of it, and tells one slot from
another.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.platform.wal.error import SetupError
from infra.platform.wal.replication.journal import OwnObjects, Position, abandoned
from infra.platform.wal.replication.position import CommitMark, Place, gap
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.connection import ServerIdentity
from infra.replication.stream import lsn_number, lsn_text

MARK = CommitMark(CommitSource(40, 1_000, 700), 48)


def test_a_position_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    position = Position(path, "slot", "publication")
    position.settle(ServerIdentity("cluster", 3, 100), 7)
    position.move(0x16B374D848, MARK, 3)

    place = Position(path, "slot", "publication").place
    assert place == Place("cluster", 3, 0x16B374D848, MARK)


def test_a_position_survives_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renamed file has its new content for certain once its directory is synced."""
    path, synced, sync = tmp_path / "state.json", [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append((os.path.realpath(f"/proc/self/fd/{descriptor}"), path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Position(path, "slot", "publication").settle(ServerIdentity("cluster", 3, 100), 7)

    assert synced[-1] == (str(tmp_path), True)


def test_a_transaction_proves_nothing_to_a_reader_of_another_publication(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    position = Position(path, "slot", "publication")
    position.settle(ServerIdentity("cluster", 3, 100), 7)
    position.move(90, MARK, 3)

    assert Position(path, "slot", "other").place == Place("cluster", 3, 90, None)


def test_a_file_of_an_older_version_is_read_and_knows_less(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"system": "cluster", "slot": "slot", "lsn": 5}', encoding="utf-8")

    assert Position(path, "slot", "publication").place == Place("cluster", 0, 5, None)


def test_a_move_without_a_transaction_keeps_the_last_one() -> None:
    position = Position(None, "slot", "publication")
    position.settle(ServerIdentity("cluster", 3, 100), 7)
    position.move(50, MARK, 3)
    position.move(60, None, 3)

    assert position.place == Place("cluster", 3, 60, MARK)


def test_a_position_is_on_the_timeline_that_its_server_had_when_it_was_confirmed(
    tmp_path: Path,
) -> None:
    """A standby is promoted while its session goes on."""
    position = Position(tmp_path / "state.json", "slot", "publication")
    position.settle(ServerIdentity("cluster", 1, 100, standby=True), 7)
    position.move(90, MARK, 2)

    place = Position(tmp_path / "state.json", "slot", "publication").place
    assert place is not None
    assert gap(place, ServerIdentity("cluster", 2, 100, {1: 50}), 90, "slot") is None


def test_without_a_file_a_position_is_not_known_at_first(tmp_path: Path) -> None:
    position = Position(None, "slot", "publication")
    assert position.lsn is None

    position.settle(ServerIdentity("cluster", 1, 9), 5)

    assert position.lsn == 5
    assert list(tmp_path.iterdir()) == []


def test_a_position_of_another_slot_is_refused(tmp_path: Path) -> None:
    position = Position(tmp_path / "state.json", "slot", "publication")
    position.settle(ServerIdentity("cluster", 1, 9), 5)

    with pytest.raises(SetupError, match="name another file or remove it"):
        Position(tmp_path / "state.json", "other", "publication")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"system": "cluster", "slot": "slot"}', "\0"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="utf-8")

    with pytest.raises(SetupError, match="cannot be read"):
        Position(tmp_path / "state.json", "slot", "publication")


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
