"""A small disk is filled to the last byte, has room again, and is taken away."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.faults.small_disk import empty, fill, may_mount, mount_small, unmount
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
