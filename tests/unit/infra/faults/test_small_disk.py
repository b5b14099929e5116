"""A small disk is filled to the last byte, has room again, and is taken away."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.faults import small_disk as module
from infra.faults.small_disk import (
    empty,
    fill,
    is_moved,
    may_mount,
    mount_small,
    move_back,
    move_onto,
    unmount,
)
from infra.stack.error import StackError


@pytest.mark.skipif(not may_mount(), reason="no tmpfs may be mounted here")
def test_a_full_disk_takes_nothing_until_there_is_room_again(tmp_path: Path) -> None:
    mount_small(tmp_path, 1024 * 1024)
    try:
        fill(tmp_path)
        with pytest.raises(OSError) as told:
            (tmp_path / "more").write_bytes(b"x" * 5000)
        assert told.value.errno == errno.ENOSPC

        empty(tmp_path)
        empty(tmp_path)

        assert (tmp_path / "more").write_bytes(b"x" * 5000) == 5000
    finally:
        unmount(tmp_path)
    assert not os.path.ismount(tmp_path)
    assert list(tmp_path.iterdir()) == []
    unmount(tmp_path)


def test_a_disk_is_filled_also_where_others_take_some_of_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, asked = [8192, 4096, 0], []

    def allocate(descriptor: int, offset: int, size: int) -> None:
        asked.append((offset, size))
        if len(asked) == 1:
            raise OSError(errno.ENOSPC, "others were faster")
        os.truncate(descriptor, offset + size)

    monkeypatch.setattr(
        "infra.faults.small_disk.shutil.disk_usage", lambda _: SimpleNamespace(free=free.pop(0))
    )
    monkeypatch.setattr("infra.faults.small_disk.os.posix_fallocate", allocate)

    fill(tmp_path)

    assert (asked, free) == ([(0, 8192), (0, 4096)], [])


def test_a_disk_that_is_full_already_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=0)
    monkeypatch.setattr("infra.faults.small_disk.shutil.disk_usage", lambda _: usage)

    fill(tmp_path)

    assert (tmp_path / "ballast").stat().st_size == 0


def test_a_disk_that_cannot_be_filled_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: int) -> None:
        raise OSError(errno.ENOSPC, "others were faster")

    monkeypatch.setattr("infra.faults.small_disk.os.posix_fallocate", allocate)
    with pytest.raises(StackError, match=r"cannot be filled: others make room there"):
        fill(tmp_path)


def test_a_disk_that_fails_otherwise_is_no_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("infra.faults.small_disk.os.posix_fallocate", allocate)
    with pytest.raises(OSError, match="broken"):
        fill(tmp_path)


@pytest.mark.parametrize(
    ("status", "may"),
    [("CapEff:\t0000000000200000\n", True), ("CapEff:\t00000000000000ff\n", False), ("", False)],
)
def test_whether_a_disk_may_be_mounted_is_a_matter_of_capabilities(
    tmp_path: Path, status: str, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.faults.small_disk.shutil.which", lambda _: "/bin/mount")
    monkeypatch.setattr("infra.faults.small_disk.sys.platform", "linux")
    (tmp_path / "status").write_text(status, encoding="utf-8")

    assert may_mount(tmp_path / "status") is may


def test_without_the_file_of_capabilities_none_is_had(tmp_path: Path) -> None:
    assert not may_mount(tmp_path / "nothing")


def test_what_cannot_be_mounted_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"ended with|cannot be done"):
        mount_small(tmp_path / "nowhere")


def moved(place: Path) -> Path:
    """A directory with a file and one with a hole."""
    directory = place / "data"
    (directory / "inside").mkdir(parents=True)
    (directory / "inside" / "file").write_bytes(b"kept")
    with (directory / "hole").open("wb") as hole:
        hole.truncate(64 * 1024 * 1024)
    return directory


def contents(directory: Path) -> dict[str, int]:
    return {
        str(path.relative_to(directory)): path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.skipif(not may_mount(), reason="no tmpfs may be mounted here")
def test_what_is_moved_onto_a_small_disk_is_whole_there_and_comes_back_with_what_was_written(
    tmp_path: Path,
) -> None:
    directory = moved(tmp_path)
    before = contents(directory)
    move_onto(directory, 1024 * 1024)
    try:
        assert os.path.ismount(directory)
        assert is_moved(directory)
        assert contents(directory) == before
        (directory / "more").write_bytes(b"more")
    finally:
        move_back(directory)
    move_back(directory)

    assert not is_moved(directory)
    assert contents(directory) == {**before, "more": 4}
    assert list(tmp_path.iterdir()) == [directory]


class DeadError(Exception):
    """The process was killed here."""


#: What a process does last before it is killed, in a move onto a small disk and in one back.
STEPS = ("_make_like", "mount_small", "_copy", "_remove", "unmount")


@pytest.mark.skipif(not may_mount(), reason="no tmpfs may be mounted here")
@pytest.mark.parametrize("way", [move_onto, move_back], ids=["onto", "back"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_nothing_is_lost_wherever_a_move_is_killed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[..., None],
    step: str,
    done: bool,
) -> None:
    directory = moved(tmp_path)
    before, sound = contents(directory), getattr(module, step)

    def killed(*arguments: Any, **named: Any) -> None:
        if done:
            sound(*arguments, **named)
        raise DeadError

    try:
        if way is move_back:
            move_onto(directory, 1024 * 1024)
        with monkeypatch.context() as patch:
            patch.setattr(module, step, killed)
            with contextlib.suppress(DeadError):
                way(directory, *([1024 * 1024] if way is move_onto else []))
    finally:
        move_back(directory)

    assert contents(directory) == before
    assert not is_moved(directory)
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "data.gone"}


def test_what_cannot_be_moved_is_where_it_was_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = moved(tmp_path)
    before = contents(directory)

    def refuse(*_: Any) -> None:
        raise StackError("no memory")

    monkeypatch.setattr(module, "mount_small", refuse)
    with pytest.raises(StackError, match="no memory"):
        move_onto(directory, 1)
    assert is_moved(directory)

    move_back(directory)

    assert contents(directory) == before
