"""Locust's own options beside a scenario. Some have no effect, some would take the lanes' work
away, and some would fail later; all are reported before anything is opened.
"""

from __future__ import annotations

import errno
import inspect
import os
import socket
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from cdc_users.error import OptionsError
from cdc_users.view.web import host, login
from infra.validate import is_port, unwritable_file

#: Options without a meaning for a scenario, by the attribute in which Locust keeps them.
MEANINGLESS: Mapping[str, tuple[str, str]] = {
    "num_users": ("--users", "a run's plan has lanes; use --lanes"),
    "spawn_rate": ("--spawn-rate", "all lanes begin at once; leave it out, --rate is the load"),
    "host": ("--host", "CDC_STACK names the servers (docs/external.md); leave it out"),
}
TAGS = {"tags": "--tags", "exclude_tags": "--exclude-tags"}


def mistakes(parsed: Namespace, shapes: Sequence[type]) -> list[str]:
    """Every mistake in Locust's options, for a process that is not a worker."""
    found = [
        f"{flag} {getattr(parsed, name)} does nothing here: {remedy}"
        for name, (flag, remedy) in MEANINGLESS.items()
        if getattr(parsed, name) is not None
    ]
    found += [
        f"{flag} {' '.join(named)} would take the lanes' work away; leave it out"
        for name, flag in TAGS.items()
        if (named := getattr(parsed, name))
    ]
    return [
        *found,
        *_processes(parsed),
        *_users(parsed, shapes),
        *_locustfiles(parsed, shapes),
        *_files(parsed),
        *_listeners(parsed),
    ]


def headless(parsed: Namespace) -> bool:
    """Whether a run starts by itself and ends the process (Locust's --headful has precedence)."""
    return bool(parsed.headless) and not parsed.headful


def writers(shape: type) -> list[type]:
    """The user classes of which a shape's lanes can be."""
    found = [getattr(shape, name, None) for name in ("writer", "producer")]
    return [user for user in found if user is not None]


def _processes(parsed: Namespace) -> Iterator[str]:
    if parsed.processes and parsed.master:
        yield "--master does nothing beside --processes, which starts a master; leave it out"
    if (parsed.processes or 0) < -1:
        yield (
            f"--processes {parsed.processes} is not possible; name a number, or -1 for a process"
            " for each core"
        )
    if parsed.master and parsed.expect_workers < 1:
        yield f"--expect-workers {parsed.expect_workers} must be at least 1"
    if parsed.autoquit != -1 and not parsed.autostart:
        yield "--autoquit needs --autostart; add it, or leave both out"


def _users(parsed: Namespace, shapes: Sequence[type]) -> list[str]:
    known = {user.__name__ for shape in shapes for user in writers(shape)}
    return [
        f"the user class {name} is not one of the scenario's, which are {', '.join(sorted(known))};"
        " leave it out"
        for name in parsed.user_classes or ()
        if name not in known
    ]


def _locustfiles(parsed: Namespace, shapes: Sequence[type]) -> list[str]:
    """Files of `-f` from which nothing would run."""
    used = {_file(item) for shape in shapes for item in (shape, *writers(shape))}
    named = [part.strip() for part in parsed.locustfile.split(",")]
    return [
        f"-f {name} declares no scenario, so nothing of it would run; leave it out"
        for name in named
        if name.endswith(".py") and Path(name).is_file() and Path(name).resolve() not in used
    ]


def _file(item: type) -> Path:
    return Path(inspect.getfile(item)).resolve()


def several(shapes: Sequence[type]) -> str:
    """How to choose one, if several scenarios were loaded and a run needs one."""
    files = sorted({_shown(_file(shape)) for shape in shapes})
    return (
        f"these locustfiles hold {len(shapes)} scenarios, and a run has one; name it:"
        f" {', '.join(f'-f {file}' for file in files)}"
    )


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _files(parsed: Namespace) -> list[str]:
    csv = parsed.csv_prefix
    places = {
        "--html": (parsed.html_file, parsed.html_file),
        "--json-file": (parsed.json_file, f"{parsed.json_file}.json"),
        "--csv": (csv, f"{csv}_stats.csv"),
        "--logfile": (parsed.logfile, parsed.logfile),
    }
    found = [
        f"{flag} {given}: {why}; name another place"
        for flag, (given, path) in places.items()
        if given and (why := unwritable_file(Path(path)))
    ]
    if parsed.logfile and not found and not Path(parsed.logfile).absolute().parent.is_dir():
        found.append(f"--logfile {parsed.logfile}: its directory does not exist; make it first")
    return found


def _listeners(parsed: Namespace) -> Iterator[str]:
    if parsed.master and _taken(parsed.master_bind_host, parsed.master_bind_port):
        yield (
            f"--master-bind-port {parsed.master_bind_port} is taken; name another, here and as"
            " --master-port at the workers"
        )
    metrics = str(parsed.metrics_port)
    if headless(parsed):
        if is_port(metrics) and _taken(host.LOOPBACK, int(metrics)):
            yield f"--metrics-port {metrics} is taken; name another, or 0 for any free one"
        return
    try:
        host.check(parsed.web_host, parsed.web_login, parsed.allow_web_host)
        if parsed.web_login:
            login.account(os.environ)
    except OptionsError as error:
        yield from error.mistakes
    if _taken(parsed.web_host, parsed.web_port):
        other = '--web-port 8090, or make ui ARGS="--web-port 8090"'
        yield f"--web-port {parsed.web_port} is taken; name another, e.g. {other}"
    if parsed.web_base_path and not parsed.web_base_path.startswith("/"):
        yield f"--web-base-path {parsed.web_base_path} must begin with a slash"


def _taken(address: str, port: int) -> bool:
    """Whether another process listens there; addresses that cannot be bound are not judged here."""
    if port == 0:
        return False
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("" if address == "*" else address.strip("[]"), port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def run_time(parsed: Namespace, scenario: str, idle: Mapping[str, str]) -> list[str]:
    """Use `--run-time` as `--duration` where that is possible; returns its mistakes otherwise."""
    if parsed.run_time is None:
        return []
    option = f"--run-time {parsed.run_time}s"
    if "duration" in idle:
        return [f"{option} does nothing in {scenario}; {idle['duration']}"]
    for name in ("duration", "stages"):
        if getattr(parsed, name):
            return [f"{option} does nothing beside --{name}; leave it out"]
    if not parsed.rate:
        return [f"{option} needs --rate: other loads end when all is written; leave it out"]
    parsed.duration, parsed.run_time = f"{parsed.run_time}s", None
    return []


def chosen_users(parsed: Namespace, shape: type, needed: str) -> list[str]:
    """Whether the named user classes are all classes that would not write here."""
    named: Collection[str] = parsed.user_classes or ()
    if not named or needed in named or set(named) - {user.__name__ for user in writers(shape)}:
        return []
    return [f"these options write with {needed}; name that class, or leave {' '.join(named)} out"]
