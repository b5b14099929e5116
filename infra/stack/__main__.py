"""`python -m infra.stack up|down|status|logs|env|restart|pause|resume|kill|compose`: the servers of
this checkout, or the user's own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import psutil

from infra.client.environment import for_python, leave_out_access, module_command
from infra.client.output import keep_output_from_failing
from infra.stack.docker import compose, compose_file
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.find.external import FILE, OPTIONAL, VARIABLES, external, source
from infra.stack.find.locate import find, locate
from infra.stack.one_server import SERVERS, act
from infra.stack.servers.disk import room_for
from infra.stack.servers.port import WELL_KNOWN
from infra.stack.supervise.state import (
    CHECKOUT,
    clear,
    exclusive,
    read_endpoints,
    recorded,
    state_of,
)

STATE = state_of()
DOWN_S = 120.0
#: What a process stack adds on request (StackRequest).
EXTRAS = ("secure", "metrics")
_VARIABLES = ", ".join(f"{name} (optional)" if name in OPTIONAL else name for name in VARIABLES)


ACTIONS = {
    "restart": "stop one server and start it again, on the same port and directory",
    "pause": "have one server stand still (SIGSTOP)",
    "resume": "let a server go on that stands still",
    "kill": "kill one server (SIGKILL); the others go on, `restart` starts it again",
}


def parser() -> argparse.ArgumentParser:
    """The command line; its `--help` teaches the commands."""
    top = argparse.ArgumentParser(prog="python -m infra.stack", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser(
        "up", help="start PostgreSQL, Kafka, Schema Registry and Kafka Connect; idempotent"
    )
    up.add_argument(
        "--kind",
        choices=("process", "compose", "external"),
        help=(
            "process: on this machine, without Docker (the default); compose: by Docker Compose on"
            f" the well-known ports; external: the user's own, named by {_VARIABLES} or by a file"
            f" in {FILE}"
        ),
    )
    up.add_argument(
        "--profile",
        choices=("bench", "test"),
        default="bench",
        help="test starts quicker and runs slower",
    )
    up.add_argument(
        "--ports",
        choices=("free", "well-known"),
        default="free",
        help=f"well-known: {' '.join(map(str, WELL_KNOWN.values()))}",
    )
    up.add_argument(
        "--secure",
        choices=("yes", "no"),
        default="no",
        help="yes: TLS and a login for every server, with certificates made on the spot",
    )
    up.add_argument(
        "--metrics",
        choices=("yes", "no"),
        default="no",
        help="yes: Connect shows Debezium's own metrics, and runs note them in samples.csv",
    )
    commands.add_parser("down", help="stop everything and leave nothing behind")
    commands.add_parser("status", help="say what is up, and whether it answers real requests")
    logs = commands.add_parser("logs", help="show the servers' logs")
    logs.add_argument(
        "server", nargs="?", help="postgres, kafka, schema-registry or connect; all without"
    )
    commands.add_parser(
        "env", help="print the endpoints as JSON (the format of the file that CDC_STACK may name)"
    )
    for action, text in ACTIONS.items():
        one = commands.add_parser(action, help=text)
        one.add_argument("server", choices=SERVERS)
    files = commands.add_parser("compose", help="maintain infra/compose")
    files.add_argument(
        "action",
        choices=("render",),
        help="write its files again from infra/stack/servers/settings.py",
    )
    return top


def up(options: argparse.Namespace) -> int:
    """Bring the stack up unless it is up; shows progress and the addresses."""
    _check_kind(options.kind)
    _check_extras(options)
    with exclusive(STATE):
        endpoints = locate(CHECKOUT, os.environ)
        # A run that starts a stack records that afterwards; a stack that a user starts stays.
        STATE.started_by_run.unlink(missing_ok=True)
        if endpoints is not None:
            _check_running(endpoints, options)
            print(f"the stack is up ({endpoints.profile or endpoints.kind})")
        elif options.kind == "compose" or compose.is_ours(STATE):
            endpoints = compose.up(STATE, os.environ, lambda text: print(f"  {text}", flush=True))
        else:
            if clear(STATE):
                print("cleared away what a crash had left behind")
            endpoints = _launch(options)
    _show(endpoints)
    return 0


def _check_kind(kind: str | None) -> None:
    """Raise StackConfigError if the requested kind and the environment contradict each other."""
    named = source(os.environ)
    if kind == "external" and named is None:
        raise StackConfigError(f"--kind external needs {_VARIABLES}, or a file in {FILE}")
    if kind in ("process", "compose") and named is not None:
        raise StackConfigError(
            f"--kind {kind}, but {named} names servers that are not ours; unset it"
        )
    if kind == "process" and compose.is_ours(STATE):
        raise StackConfigError(
            "containers of this checkout may still be up; run `python -m infra.stack down` first"
        )


def _check_extras(options: argparse.Namespace) -> None:
    """Raise StackConfigError for extras of servers that are not started here."""
    elsewhere = options.kind not in (None, "process") or source(os.environ)
    for name in EXTRAS:
        if elsewhere and getattr(options, name) == "yes":
            raise StackConfigError(
                f"--{name} yes is for the process stack alone; leave it out, or the other servers"
            )


def _check_running(endpoints: Endpoints, options: argparse.Namespace) -> None:
    if source(os.environ) is not None:
        return
    if options.kind not in (None, endpoints.kind):
        raise StackConfigError(
            f"a stack of kind {endpoints.kind} is up; run `python -m infra.stack down` first"
        )
    has = {"secure": endpoints.kafka_properties, "metrics": endpoints.connect_metrics}
    for name in EXTRAS:
        if getattr(options, name) == "yes" and not has[name]:
            raise StackConfigError(
                f"a stack without --{name} yes is up; run `python -m infra.stack down` first"
            )


def _launch(options: argparse.Namespace) -> Endpoints:
    supervisor = subprocess.Popen(
        module_command(
            "infra.stack.supervise.supervisor",
            *(str(CHECKOUT), options.ports, options.profile),
            *(name for name in EXTRAS if getattr(options, name) == "yes"),
        ),
        cwd=CHECKOUT,
        env=for_python(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        return _follow(supervisor)
    except BaseException:
        # Ctrl-C or SIGTERM in the middle: the supervisor takes down what it has started.
        if supervisor.poll() is None:
            supervisor.terminate()
            supervisor.wait()
        clear(STATE)
        raise


def _follow(supervisor: subprocess.Popen[str]) -> Endpoints:
    assert supervisor.stdout is not None
    for line in supervisor.stdout:
        message = json.loads(line)
        if "progress" in message:
            print(f"  {message['progress']}", flush=True)
        elif "failure" in message:
            supervisor.wait()
            error = StackError(message["failure"])
            error.exit_code = message["exit_code"]
            raise error
        else:
            print(f"the stack is up after {message['seconds']} s")
            return Endpoints.from_json(message["ready"])
    raise StackError(f"the supervisor ended with {supervisor.wait()} before the stack was ready")


def _show(endpoints: Endpoints) -> None:
    for name in ("postgres_dsn", "kafka_bootstrap", "schema_registry_url", "connect_url"):
        print(f"  {name:20} {getattr(endpoints, name)}")


def down(_: argparse.Namespace) -> int:
    """Stop this checkout's servers; it is no error if none runs."""
    if named := source(os.environ):
        print(f"{named} names servers that are not ours; nothing is stopped")
        return 0
    with exclusive(STATE):
        if compose.is_ours(STATE):
            compose.down(STATE, os.environ)
        processes, _places = recorded(STATE)
        supervisor = processes[0].process() if processes else None
        if supervisor is not None:
            supervisor.terminate()
            psutil.wait_procs([supervisor], timeout=DOWN_S)
        clear(STATE)
        shutil.rmtree(STATE.logs, ignore_errors=True)
        (STATE.root / "failure.json").unlink(missing_ok=True)
    print("the stack is down")
    return 0


def status(_: argparse.Namespace) -> int:
    """Say which servers are up; 3 if the stack is not up."""
    endpoints = locate(CHECKOUT, os.environ)
    if endpoints is None:
        failure = STATE.root / "failure.json"
        if failure.exists():
            print(
                "the stack is down; the last one ended because"
                f" {json.loads(failure.read_text())['message']}"
            )
        else:
            print("the stack is down; `python -m infra.stack up` starts it")
        return StackError.exit_code
    print(
        "every server answers"
        f" ({endpoints.kind}{', ' + endpoints.profile if endpoints.profile else ''})"
    )
    _show(endpoints)
    for name, version in endpoints.versions.items():
        print(f"  {name:20} {version}")
    return 0


def logs(options: argparse.Namespace) -> int:
    """Print the logs."""
    if compose.is_ours(STATE):
        compose.logs(options.server, os.environ)
        return 0
    found = sorted(STATE.logs.glob(f"{options.server or '*'}.log"))
    if not found:
        raise StackError(f"there is no log of {options.server or 'any server'}; the stack is down")
    for path in found:
        print(f"== {path.stem}")
        print(path.read_text(encoding="utf-8", errors="replace"))
    return 0


def env(_: argparse.Namespace) -> int:
    """Print the endpoints."""
    endpoints = external(os.environ) or read_endpoints(STATE)
    if endpoints is None:
        raise StackError("the stack is down; `python -m infra.stack up` starts it")
    print(json.dumps(endpoints.to_json(), indent=2))
    return 0


def one_server(options: argparse.Namespace) -> int:
    """Act on one server, and say when it answers again."""
    if named := source(os.environ):
        raise StackConfigError(
            f"{named} names servers that are not ours; {options.command} them where they run"
        )
    # Not verified: a server may well be down.
    endpoints = find(CHECKOUT, os.environ)
    if endpoints is None:
        raise StackError("the stack is down; `python -m infra.stack up` starts it")
    started_s = time.monotonic()
    act(STATE, endpoints, options.command, options.server)
    print(f"{options.command} {options.server}: done in {time.monotonic() - started_s:.1f} s")
    return 0


def maintain(_: argparse.Namespace) -> int:
    """Write the compose files again."""
    for path in compose.render(compose_file.DIRECTORY, compose_file.rendered()):
        print(f"wrote {path.relative_to(CHECKOUT)}")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "logs": logs,
    "env": env,
    "compose": maintain,
    **dict.fromkeys(ACTIONS, one_server),
}


def main(arguments: Sequence[str]) -> int:
    """Carry out one command; errors become one message and an exit code."""
    options = parser().parse_args(arguments)
    if options.command in ("up", "down"):  # users read the others' output to its end
        keep_output_from_failing()
    if source(os.environ) is None:
        leave_out_access(os.environ)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started_s = time.monotonic()
    try:
        with room_for("what the stack writes down", STATE.root, "use a checkout on another disk"):
            return COMMANDS[options.command](options)
    except StackError as error:
        print(f"{error}\n(after {time.monotonic() - started_s:.1f} s)", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing is left running", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
