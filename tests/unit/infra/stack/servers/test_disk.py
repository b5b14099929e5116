"""A disk that is full is named before servers are started, and as the cause when they have died."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.stack.error import StackError
from infra.stack.servers.disk import (
    EXHAUSTED_BYTES,
    NEEDED_BYTES,
    check_room,
    exhausted,
    room_for,
)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """Bytes that are free by place; others have room."""
    known: dict[Path, int] = {}
    monkeypatch.setattr(
        "infra.stack.servers.disk.shutil.disk_usage",
        lambda place: SimpleNamespace(free=known.get(place, 10**12)),
    )
    return known


def test_every_place_with_too_little_room_is_told(tmp_path: Path, free: dict[Path, int]) -> None:
    places = [tmp_path / name for name in ("größe", "enough", "little")]
    for place, size in zip(places, (499_499_999, NEEDED_BYTES, 0), strict=True):
        place.mkdir()
        free[place] = size

    with pytest.raises(StackError) as told:
        check_room(places)

    assert str(told.value) == (
        "the disk is too full for the servers, which need 500 MB:"
        f" {places[0]} has 499 MB, {places[2]} has 0 MB; make room there, or use a checkout (as"
        " root: a TMPDIR) on another disk"
    )
    assert told.value.exit_code == 3
    check_room(places[1:2])
    check_room([])


def test_a_place_that_will_be_made_is_on_its_parents_disk(
    tmp_path: Path, free: dict[Path, int]
) -> None:
    free[tmp_path] = NEEDED_BYTES - 1

    with pytest.raises(StackError, match=r"a/b/c has 500 MB"):
        check_room([tmp_path / "a" / "b" / "c"])


@pytest.mark.parametrize(
    ("size", "full"), [(EXHAUSTED_BYTES, False), (EXHAUSTED_BYTES - 1, True), (0, True)]
)
def test_a_disk_is_exhausted_below_what_a_server_needs_to_live(
    tmp_path: Path, free: dict[Path, int], size: int, full: bool
) -> None:
    free[tmp_path] = size

    found = exhausted([tmp_path, Path("/")])

    assert found == (
        f"the disk is full ({tmp_path}); make room there, and start again" if full else None
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_is_told_with_what_does_not_fit_and_where(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(StackError) as told,
        room_for("kafka.tgz (5 MB)", tmp_path, "name another disk"),
    ):
        raise OSError(number, "no")

    assert str(told.value) == (
        f"the disk is full: kafka.tgz (5 MB) does not fit into {tmp_path}; make room there, or name"
        " another disk"
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR])
@pytest.mark.parametrize("named", [True, False])
def test_a_place_that_is_closed_is_told_by_its_own_name(
    tmp_path: Path, number: int, named: bool
) -> None:
    error = OSError(number, "closed", str(tmp_path / "inner")) if named else OSError(number, "x")

    with pytest.raises(StackError) as told, room_for("the cache", tmp_path, "set HOME"):
        raise error

    place = tmp_path / "inner" if named else tmp_path
    assert str(told.value) == (
        f"{place} cannot be written to ({error.strerror}), which the cache needs; make it writable,"
        " or set HOME"
    )
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", [OSError(errno.ECONNREFUSED, "no"), ValueError("no")])
def test_another_failure_is_none_of_the_disks(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as told, room_for("it", tmp_path, "do"):
        raise error

    assert told.value is error
