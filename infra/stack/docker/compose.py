"""The compose stack: the same servers by Docker Compose on their well-known ports (infra/compose).

Docker owns the containers, so there is no supervisor. The build context in a checkout's state
directory records that this checkout brought the containers up, even after a crash during the start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psycopg

from infra.stack.artifacts import java
from infra.stack.artifacts.artifact import DownloadProgress
from infra.stack.artifacts.version import VERSIONS
from infra.stack.debezium.canary import WARMING_ROWS, send_canary
from infra.stack.docker.compose_file import DIRECTORY, POSTGRES_INSIDE
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.servers import postgres, process
from infra.stack.servers.port import HOST, WELL_KNOWN, check_free
from infra.stack.servers.probe import await_answer, probes
from infra.stack.supervise.state import StackState, write_json

READY_S = 180.0
COMPOSE = ("docker", "compose", "--file", str(DIRECTORY / "docker-compose.yml"))
INSTEAD = "or use `--kind process`, which needs no Docker"


def endpoints() -> Endpoints:
    """Where the published servers are."""
    return Endpoints(
        kind="compose",
        postgres_dsn=postgres.dsn(WELL_KNOWN["postgres"]),
        kafka_bootstrap=f"{HOST}:{WELL_KNOWN['kafka']}",
        schema_registry_url=f"http://{HOST}:{WELL_KNOWN['schema-registry']}{process.REGISTRY_PATH}",
        connect_url=f"http://{HOST}:{WELL_KNOWN['connect']}",
        profile="bench",
        postgres_from_connect=POSTGRES_INSIDE,
    )


def require_engine(environ: Mapping[str, str]) -> None:
    """Raise StackError with the remedy unless Docker, its Compose plugin and an engine answer."""
    docker = shutil.which("docker", path=environ.get("PATH"))
    if docker is None:
        raise StackError(
            f"there is no `docker` on PATH; install Docker with its Compose plugin, {INSTEAD}"
        )
    if _silent(docker, "compose", "version").returncode != 0:
        raise StackError(
            f"`docker compose` is not there; install Docker's Compose plugin, {INSTEAD}"
        )
    engine = _silent(docker, "info", "--format", "{{.ServerVersion}}")
    if engine.returncode != 0:
        reason = (engine.stderr.strip() or engine.stdout.strip() or "no answer").splitlines()[-1]
        raise StackError(f"no Docker engine answers ({reason}); start it, {INSTEAD}")


def _silent(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def is_ours(state: StackState) -> bool:
    """Whether this checkout has brought the containers up, or has begun to."""
    return _context(state).exists()


def _context(state: StackState) -> Path:
    return state.root / "compose"


def up(state: StackState, environ: Mapping[str, str], progress: DownloadProgress) -> Endpoints:
    """Start the containers, prove them with a row that arrives in a topic; raises StackError."""
    require_engine(environ)
    if not is_ours(state):
        check_free({name: port for name, port in WELL_KNOWN.items() if name != "webhook"})
    _fill_context(state, environ, progress)
    try:
        ready = _bring_up(progress)
    except BaseException:
        subprocess.run([*COMPOSE, "logs", "--no-color", "--tail", "15"], check=False)
        down(state, environ)
        raise
    write_json(state.endpoints, ready.to_json())
    return ready


def _bring_up(progress: DownloadProgress) -> Endpoints:
    progress("docker compose is building and starting the containers")
    _compose("up", "--detach", "--build", "--remove-orphans")
    found = endpoints()
    _await_ready(found, progress)
    progress(f"{WARMING_ROWS:,} rows on the way from Postgres to the topic")
    send_canary(found, READY_S, WARMING_ROWS)
    return _with_versions(found)


def _fill_context(
    state: StackState, environ: Mapping[str, str], progress: DownloadProgress
) -> None:
    """Put Kafka Connect's verified files into the directory that its image is built from."""
    jars = _context(state) / "jars"
    shutil.rmtree(jars, ignore_errors=True)
    jars.mkdir(parents=True)
    for place in java.java_files(environ, progress).connect:
        try:
            os.link(place, jars / place.name)
        except OSError:  # the cache is on another file system
            shutil.copyfile(place, jars / place.name)


def _compose(*arguments: str) -> None:
    done = subprocess.run([*COMPOSE, *arguments], check=False)
    if done.returncode != 0:
        raise StackError(
            f"`docker compose {arguments[0]}` ended with {done.returncode}; its own words are above"
        )


def _await_ready(found: Endpoints, progress: DownloadProgress) -> None:
    started_s = time.monotonic()
    for name, probe in probes(found).items():
        await_answer(name, probe, started_s + READY_S)
        progress(f"{name} answers after {time.monotonic() - started_s:.1f} s")


def _with_versions(found: Endpoints) -> Endpoints:
    with closing(psycopg.connect(found.postgres_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        row = cursor.fetchone()
    version = str(row[0]).split()[0] if row else "unknown"
    return Endpoints.from_json({**found.to_json(), "versions": {"postgres": version, **VERSIONS}})


def down(state: StackState, environ: Mapping[str, str]) -> None:
    """Remove the containers, their network and their volumes."""
    require_engine(environ)
    _compose("down", "--volumes", "--remove-orphans")
    state.endpoints.unlink(missing_ok=True)
    shutil.rmtree(_context(state))


def logs(server: str | None, environ: Mapping[str, str]) -> None:
    """Show the containers' logs."""
    require_engine(environ)
    _compose("logs", "--no-color", *([server] if server else []))


#: The engine's word for each act on one server.
ENGINE_WORDS = {"pause": "pause", "resume": "unpause", "kill": "kill", "restart": "restart"}


def act(action: str, server: str, environ: Mapping[str, str]) -> None:
    """Have the engine act on one server's container; raises StackError with its answer."""
    require_engine(environ)
    _compose(ENGINE_WORDS[action], server)


def render(directory: Path, files: Mapping[str, str]) -> Sequence[Path]:
    """Write the rendered files; returns those that have changed."""
    changed = []
    for name, text in files.items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed
