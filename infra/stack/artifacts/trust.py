"""Checks that files in the cache are still the files that were verified when they were stored.

Every program that runs as this user comes from the cache. So no other user may be able to write
into it, and each file is compared with its SHA-256: at its first use, and again when its size or
its times have changed. Only the kernel sets a file's change time, so a file that was altered and
dated back is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from infra.stack.error import StackConfigError

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
#: Size, modification and change time (ns), SHA-256.
FileRecord = tuple[int, int, int, str]


class VerifiedFiles:
    """The files of one cache that were compared with their SHA-256, by their path in the cache."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._record = cache / f"verified-{os.geteuid()}.json"
        self._entries = _read(self._record)
        self._changed = False

    def is_verified(self, path: Path, sha256: str) -> bool:
        """Whether the file exists with this content; reads it only if it has changed."""
        try:
            now = _look(path)
        except OSError:
            return False
        known = self._entries.get(self._name(path))
        if known is None or known[:3] != now:
            known = (*now, _digest(path))
            self._entries[self._name(path)] = known
            self._changed = True
        return known[3] == sha256

    def is_as_recorded(self, path: Path) -> bool:
        """Whether the file, or every file of the tree, is unchanged since it was recorded.

        In a cache that this user may not write, only root may (`keep_to_its_user`); then no record
        is needed.
        """
        if not os.access(self._cache, os.W_OK):
            return path.exists()
        known = {name: self._entries[name] for name in self._below(path)}
        found = {self._name(file): file for file in _files(path)}
        return (
            bool(known)
            and known.keys() == found.keys()
            and all(self.is_verified(found[name], entry[3]) for name, entry in known.items())
        )

    def knows(self, path: Path) -> bool:
        """Whether any file of the tree, or the file, was ever recorded."""
        return bool(self._below(path))

    def record(self, path: Path) -> None:
        """Record the present state of the file, or of every file of the tree, as the right one."""
        self._changed = True
        for name in self._below(path):
            del self._entries[name]
        for file in _files(path):
            self._entries[self._name(file)] = (*_look(file), _digest(file))

    def save(self) -> None:
        """Write the record; a shared cache may be read-only, and its files are then read again each
        time.
        """
        if not self._changed:
            return
        draft = self._record.with_name(f".{self._record.name}.{uuid.uuid4().hex[:8]}")
        try:
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            return
        with os.fdopen(file, "w", encoding="utf-8") as text:
            json.dump(self._entries, text)
        draft.replace(self._record)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._cache).as_posix()

    def _below(self, path: Path) -> list[str]:
        """The names of the recorded file, or of the recorded tree's files."""
        top = self._name(path)
        return [name for name in self._entries if name == top or name.startswith(f"{top}/")]


def keep_to_its_user(cache: Path) -> None:
    """Close the cache to all other users; raises StackConfigError if another user owns a part of
    it.

    Files that another user could have written until now are read again before their use, because
    closing changes their change time.
    """
    trusted = (os.geteuid(), 0)
    for path in (cache.resolve(), *_everything(cache)):
        try:
            seen = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # the process that makes it reports why it cannot be made
        if seen.st_uid not in trusted:
            raise StackConfigError(
                f"{path} belongs to user {seen.st_uid}, who could change what is run from it; name"
                " a directory of your own in CDC_CACHE_DIR"
            )
        if not stat.S_ISLNK(seen.st_mode) and seen.st_mode & OTHERS_MAY_WRITE:
            _shut(path, seen)


def same_files(one: Path, other: Path) -> bool:
    """Whether two trees have the same files with the same contents."""
    return _tree(one) == _tree(other)


def _shut(path: Path, seen: os.stat_result) -> None:
    try:
        path.chmod(stat.S_IMODE(seen.st_mode) & ~OTHERS_MAY_WRITE)
    except OSError as error:
        raise StackConfigError(
            f"{path} can be written to by others, who could change what is run from it; run"
            " chmod -R go-w on the cache, or name another in CDC_CACHE_DIR"
        ) from error


def _everything(place: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(place):
        for name in (*directories, *files):
            yield Path(directory, name)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.is_file() else []
    return [found for found in _everything(path) if found.is_file()]


def _tree(path: Path) -> dict[str, str]:
    return {file.relative_to(path).as_posix(): _digest(file) for file in _files(path)}


def _look(path: Path) -> tuple[int, int, int]:
    seen = path.stat()
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(record: Path) -> dict[str, FileRecord]:
    """The record; one that another user has made, or could have made, counts as empty."""
    try:
        seen = record.lstat()
        if seen.st_uid != os.geteuid() or seen.st_mode & OTHERS_MAY_WRITE:
            return {}
        known = json.loads(record.read_text(encoding="utf-8"))
        return {
            name: (int(size), int(modified), int(changed), str(digest))
            for name, (size, modified, changed, digest) in known.items()
        }
    except (OSError, ValueError, AttributeError):
        return {}
