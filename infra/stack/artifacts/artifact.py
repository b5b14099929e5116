"""The servers' files: fetched once per user, verified, and put in place atomically.

The cache is `$CDC_CACHE_DIR`, or `locust-cdc` in the user's cache directory; all checkouts share
it. `CDC_MAVEN_MIRROR` names a mirror. A file under its final name is always complete: it is written
under another name beside it, hashed while it streams, and renamed. An interrupted download is
resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from zipfile import ZipFile

import requests
from typing_extensions import override

from infra.client import http
from infra.stack.artifacts.trust import VerifiedFiles, keep_to_its_user, same_files
from infra.stack.error import StackConfigError, StackError
from infra.stack.servers.disk import room_for

LOCK = Path(__file__).with_name("artifacts.json")
CHUNK_BYTES = 1 << 18
PARALLEL = 8
TIMEOUT_S = 60.0
OTHER_DISK = "set CDC_CACHE_DIR to a directory on another disk"
DownloadProgress = Callable[[str], None]


def print_progress(text: str) -> None:
    """The progress of a download, on standard error."""
    print(text, file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of the lock: its place in a Maven repository, its size and its SHA-256."""

    path: str
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rsplit("/", 1)[-1]


def locked(lock: Path = LOCK) -> dict[str, list[Artifact]]:
    """The lock's sets of files by name."""
    sets = json.loads(lock.read_text(encoding="utf-8"))["sets"]
    return {name: [Artifact(**entry) for entry in entries] for name, entries in sets.items()}


def cache_directory(environ: Mapping[str, str]) -> Path:
    """The directory of this user's downloads."""
    if environ.get("CDC_CACHE_DIR"):
        return Path(environ["CDC_CACHE_DIR"])
    base = environ.get("XDG_CACHE_HOME")
    if not base and not environ.get("HOME"):
        # Path.home() would ask the user database, in which many users of containers have no entry.
        raise StackConfigError(
            "HOME is not set, so there is no place to keep the servers' files; set it, or"
            " CDC_CACHE_DIR"
        )
    return Path(base or Path(environ["HOME"], ".cache")) / "locust-cdc"


def repository(environ: Mapping[str, str]) -> str:
    """The Maven repository to fetch from, without a slash at its end."""
    if environ.get("CDC_MAVEN_MIRROR"):
        return environ["CDC_MAVEN_MIRROR"].rstrip("/")
    try:
        # Imported here: the import is slow, and only a first run needs it.
        from jgo.constants import MAVEN_CENTRAL_URL
    except ImportError:
        raise StackError(
            "the Java servers' files are not in the cache, and no Maven repository is known; name"
            " one in CDC_MAVEN_MIRROR, or install the extra `maven`, which knows the default one:"
            " `make setup`"
        ) from None
    return str(MAVEN_CENTRAL_URL).rstrip("/")


def fetch(
    artifacts: Sequence[Artifact], environ: Mapping[str, str], progress: DownloadProgress
) -> dict[str, Path]:
    """Make sure that all these files are in the cache; returns their places by file name.

    Raises StackError that names the first file that cannot be fetched, and the remedy.
    """
    cache = cache_directory(environ)
    keep_to_its_user(cache)
    places = {
        artifact.name: cache / "artifacts" / artifact.sha256[:2] / artifact.sha256 / artifact.name
        for artifact in artifacts
    }
    verified = VerifiedFiles(cache)
    missing = {
        artifact.name: artifact
        for artifact in artifacts
        if not verified.is_verified(places[artifact.name], artifact.sha256)
    }
    for name in missing:
        if places[name].exists():
            progress(f"{name} is not what was verified; it is fetched again")
    if missing:
        _download_all(list(missing.values()), places, repository(environ), progress)
    verified.save()
    return places


def _download_all(
    missing: list[Artifact], places: Mapping[str, Path], base: str, progress: DownloadProgress
) -> None:
    total = sum(artifact.bytes for artifact in missing)
    done = 0
    guard = Lock()

    def advance(count: int) -> None:
        nonlocal done
        with guard:
            before, done = done, done + count
            if done * 20 // total > before * 20 // total:
                progress(
                    f"downloading the servers' files: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
                )

    progress(
        f"downloading the servers' files: {len(missing)} files, {total / 1e6:.0f} MB (once per"
        " user)"
    )
    largest_first = sorted(missing, key=lambda artifact: -artifact.bytes)
    with ThreadPoolExecutor(PARALLEL) as pool:
        futures = [
            pool.submit(download, item, places[item.name], base, advance) for item in largest_first
        ]
        try:
            for future in as_completed(futures):
                future.result()
        except StackError:
            pool.shutdown(wait=False, cancel_futures=True)  # nobody needs the remaining files now
            raise


def download(artifact: Artifact, place: Path, base: str, advance: Callable[[int], None]) -> None:
    """Fetch one file to its place: resumed, verified while it streams, renamed at the end."""
    # Each process has its own partial file, because two checkouts may fetch at the same time.
    partial = place.with_name(f"{place.name}.part")
    what = f"{artifact.name} ({artifact.bytes / 1e6:.0f} MB)"
    try:
        with room_for(what, place.parent, OTHER_DISK), _exclusive(partial) as own:
            digest = _stream(artifact, own, f"{base}/{artifact.path}", advance)
            if digest != artifact.sha256:
                own.unlink()
                raise StackError(
                    f"{artifact.name} arrived corrupted (SHA-256 {digest[:12]}…, expected"
                    f" {artifact.sha256[:12]}…); try again, or name another mirror in"
                    " CDC_MAVEN_MIRROR"
                )
            own.replace(place)
    except requests.RequestException as error:
        raise StackError(
            f"{artifact.name} cannot be downloaded ({_reason(error)}); connect to the network, or"
            " name a mirror in CDC_MAVEN_MIRROR; once the cache is full no network is needed"
        ) from error


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the repository answered {error.response.status_code}"
    return type(error).__name__


class _exclusive:  # noqa: N801 - reads as a verb in `with _exclusive(path)`
    """The shared partial file, renamed so that no other process writes it; a new one if there is
    none.
    """

    def __init__(self, partial: Path) -> None:
        self._shared = partial
        self._own = partial.with_name(f"{partial.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        self._own.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._shared.rename(self._own)  # continue what an interrupted download left
        except FileNotFoundError:
            self._own.touch()
        return self._own

    def __exit__(self, *_: object) -> None:
        if self._own.exists():
            self._own.replace(self._shared)


def _stream(artifact: Artifact, partial: Path, address: str, advance: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    have = partial.stat().st_size
    if have >= artifact.bytes:
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with http.get(
        address, headers=headers, stream=True, timeout=TIMEOUT_S, allow_redirects=True
    ) as answer:
        answer.raise_for_status()
        resumed = have if answer.status_code == requests.codes.partial_content else 0
        with partial.open("r+b") as file:
            digest.update(file.read(resumed))
            file.truncate(resumed)
            advance(resumed)
            for chunk in answer.iter_content(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                advance(len(chunk))
    return digest.hexdigest()


class _OwnArchive(tarfile.TarFile):
    """An archive whose files belong to the user who unpacks it; root would give them to the numbers
    that the archive has, and any user of the machine may have one of these.
    """

    @override
    def chown(self, *_: Any, **__: Any) -> None:
        """Leave the owner as it is."""


def unpacked(archive: Path, environ: Mapping[str, str], progress: DownloadProgress) -> Path:
    """The directory with an archive's contents, unpacked once per user."""
    cache = cache_directory(environ)
    target = cache / "unpacked" / archive.parent.name
    verified = VerifiedFiles(cache)
    if not verified.is_as_recorded(target):
        progress(f"unpacking {archive.name} (once per user)")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent))
        try:
            with room_for(archive.name, target.parent, OTHER_DISK):
                _extract(archive, temporary)
            temporary.chmod(0o755)
            if not same_files(temporary, target):  # else a server may run from them
                shutil.rmtree(target, ignore_errors=True)
                _put(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        verified.record(target)
    verified.save()
    return target


def _extract(archive: Path, place: Path) -> None:
    if archive.suffix == ".jar":
        with ZipFile(archive) as jar:
            jar.extractall(place)  # noqa: S202 - its SHA-256 was checked
        for program in place.glob("**/bin/*"):  # a jar has no modes
            program.chmod(0o755)
        return
    with _OwnArchive.open(archive) as tar:
        # Early releases of Python 3.11 have no filters; the archive's SHA-256 was checked in any
        # case.
        filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(place, **filters)  # type: ignore[arg-type]  # noqa: S202


def _put(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.exists():  # otherwise another process with the same files was faster
            raise
