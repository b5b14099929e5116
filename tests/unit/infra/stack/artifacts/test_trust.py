"""What lies in the cache is what was verified, or it is not used."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from infra.stack.artifacts import trust
from infra.stack.artifacts.artifact import Artifact, fetch, unpacked
from infra.stack.artifacts.trust import VerifiedFiles, keep_to_its_user, same_files
from infra.stack.error import StackConfigError, StackError


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def altered(path: Path, text: bytes) -> None:
    """Write other contents of the same size, and give the file its old times back."""
    before = path.stat()
    assert len(text) == before.st_size
    path.write_bytes(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "a.jar"
    path.write_bytes(b"good")
    return path


def test_a_file_is_read_once_and_not_again_until_it_changes(
    tmp_path: Path, jar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    digest = trust._digest

    def counted(path: Path) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(trust, "_digest", counted)
    for _ in range(3):
        verified = VerifiedFiles(tmp_path)
        assert verified.is_verified(jar, sha256(b"good"))
        verified.save()
    assert read == [jar]
    jar.touch()
    assert VerifiedFiles(tmp_path).is_verified(jar, sha256(b"good"))
    assert read == [jar, jar]


def test_a_file_that_was_altered_and_dated_back_is_noticed(tmp_path: Path, jar: Path) -> None:
    verified = VerifiedFiles(tmp_path)
    assert verified.is_verified(jar, sha256(b"good"))
    verified.save()

    altered(jar, b"evil")

    assert not VerifiedFiles(tmp_path).is_verified(jar, sha256(b"good"))


def test_a_tree_is_as_it_was_or_not(tmp_path: Path) -> None:
    tree = tmp_path / "unpacked"
    (tree / "lib").mkdir(parents=True)
    (tree / "lib" / "a.jar").write_bytes(b"good")
    (tree / "run.jar").write_bytes(b"run")
    verified = VerifiedFiles(tmp_path)
    assert not verified.is_as_recorded(tree)
    verified.record(tree)
    verified.save()
    assert VerifiedFiles(tmp_path).is_as_recorded(tree)

    (tree / "lib" / "added.jar").write_bytes(b"more")
    assert not VerifiedFiles(tmp_path).is_as_recorded(tree)
    (tree / "lib" / "added.jar").unlink()
    assert VerifiedFiles(tmp_path).is_as_recorded(tree)
    altered(tree / "lib" / "a.jar", b"evil")
    assert not VerifiedFiles(tmp_path).is_as_recorded(tree)
    (tree / "run.jar").unlink()
    assert not VerifiedFiles(tmp_path).is_as_recorded(tree)


def test_the_record_is_its_users_alone_and_one_that_others_may_write_says_nothing(
    tmp_path: Path, jar: Path
) -> None:
    verified = VerifiedFiles(tmp_path)
    verified.record(jar)
    verified.save()
    (record,) = tmp_path.glob("verified-*.json")
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert VerifiedFiles(tmp_path).knows(jar)

    record.chmod(0o666)
    assert not VerifiedFiles(tmp_path).knows(jar)
    record.chmod(0o600)
    record.write_text("[5]", encoding="utf-8")
    assert not VerifiedFiles(tmp_path).knows(jar)


def test_what_others_could_write_is_shut_and_read_again(tmp_path: Path, jar: Path) -> None:
    verified = VerifiedFiles(tmp_path)
    assert verified.is_verified(jar, sha256(b"good"))
    verified.save()
    altered(jar, b"evil")
    jar.chmod(0o666)
    tmp_path.chmod(0o777)

    keep_to_its_user(tmp_path)

    assert stat.S_IMODE(jar.stat().st_mode) == 0o644
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert not VerifiedFiles(tmp_path).is_verified(jar, sha256(b"good"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_cache_of_somebody_else_is_refused(tmp_path: Path, jar: Path) -> None:
    os.chown(jar, 54321, 54321)

    with pytest.raises(StackConfigError, match=r"belongs to user 54321.*CDC_CACHE_DIR"):
        keep_to_its_user(tmp_path)


def test_a_changed_artifact_is_fetched_again(tmp_path: Path) -> None:
    artifact = Artifact("org/a/1/a.jar", 4, sha256(b"good"))
    place = tmp_path / "artifacts" / artifact.sha256[:2] / artifact.sha256 / "a.jar"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"good")
    environ = {"CDC_CACHE_DIR": str(tmp_path), "CDC_MAVEN_MIRROR": "http://127.0.0.1:9"}
    told: list[str] = []
    assert fetch([artifact], environ, told.append) == {"a.jar": place}
    assert told == []

    altered(place, b"evil")

    with pytest.raises(StackError, match="cannot be downloaded"):
        fetch([artifact], environ, told.append)
    assert "a.jar is not what was verified; it is fetched again" in told


def test_a_changed_tree_is_unpacked_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "lib" / "a.jar").write_bytes(b"good")
    archive = tmp_path / "0123" / "registry.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source / "lib", "lib")
    cache = tmp_path / "cache"
    cache.mkdir()
    environ = {"CDC_CACHE_DIR": str(cache)}
    told: list[str] = []

    tree = unpacked(archive, environ, told.append)
    inode = tree.stat().st_ino
    assert unpacked(archive, environ, told.append) == tree
    assert len(told) == 1
    (cache / f"verified-{os.geteuid()}.json").unlink()
    assert unpacked(archive, environ, told.append).stat().st_ino == inode
    altered(tree / "lib" / "a.jar", b"evil")
    (tree / "lib" / "b.jar").write_bytes(b"more")

    unpacked(archive, environ, told.append)

    assert same_files(tree, source)


def test_a_tree_belongs_to_the_user_who_unpacks_it_and_not_to_a_number_of_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN root, and a Python whose archives have no filters yet (3.11.3 and before)."""
    (tmp_path / "a.jar").write_bytes(b"good")
    archive = tmp_path / "0123" / "registry.tar.gz"
    archive.parent.mkdir()

    def of_somebody(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 1001
        member.uname = member.gname = ""
        return member

    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "a.jar", "a.jar", filter=of_somebody)
    given: list[object] = []
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for change in ("chown", "lchown"):
        monkeypatch.setattr(os, change, lambda *arguments, **_: given.append(arguments))

    unpacked(archive, {"CDC_CACHE_DIR": str(tmp_path / "cache")}, lambda _: None)

    assert given == []


def test_the_programs_of_a_jar_can_be_run(tmp_path: Path) -> None:
    """A jar has no modes, so what lies in a `bin` there is made executable."""
    archive = tmp_path / "artifacts" / "ab" / "abc" / "server.jar"
    archive.parent.mkdir(parents=True)
    with ZipFile(archive, "w") as jar:
        jar.writestr("linux/bin/server", b"\x7fELF")
        jar.writestr("linux/share/messages", b"text")
    place = unpacked(archive, {"CDC_CACHE_DIR": str(tmp_path)}, lambda _: None)

    assert (place / "linux" / "bin" / "server").stat().st_mode & stat.S_IXUSR
    assert not (place / "linux" / "share" / "messages").stat().st_mode & stat.S_IXUSR
