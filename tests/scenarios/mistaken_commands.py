"""Runs command lines one after another, each in a fork of this process, which has everything
imported: a fresh interpreter for each would take most of the time.

Reads a JSON list of cases from standard input (`module`, `arguments`, `environment`), and writes
one of what each ended with (`exit_code`, `stdout`, `stderr`).
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

DEADLINE_S = 30.0
#: No command here ends with it.
CRASHED = 70
PRELOADED = (
    "locust.main",
    "cdc_users.bench",
    "cdc_users.shapes.backpressure",
    "cdc_users.shapes.latency",
    "cdc_users.shapes.partitions",
    "cdc_users.shapes.volume",
    "cdc_users.users.kafka",
    "cdc_users.users.postgres",
)


def run(case: Mapping[str, Any]) -> dict[str, Any]:
    """One command to its end; killed, with exit code None, where it does not come to one."""
    with tempfile.TemporaryDirectory() as place:
        streams = [Path(place, name) for name in ("stdout", "stderr")]
        child = os.fork()
        if child == 0:
            _become(case, streams)
        code = _exit_code(child)
        stdout, stderr = (path.read_text(encoding="utf-8") for path in streams)
    return {"exit_code": code, "stdout": stdout, "stderr": stderr}


def _become(case: Mapping[str, Any], streams: list[Path]) -> NoReturn:
    """Be this command, in the child."""
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(case["environment"])
    sys.argv = [case["module"], *case["arguments"]]
    code = CRASHED
    try:
        if case["module"] == "locust":
            importlib.import_module("locust.main").main()
        else:
            # It is imported already, so runpy's note that it will be made again is no news.
            sys.modules.pop(case["module"], None)
            runpy.run_module(case["module"], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    finally:
        # What else it ends with is a traceback, as of any program; nothing of this process follows.
        if code == CRASHED:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _exit_code(child: int) -> int | None:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def main() -> None:
    """All cases of standard input."""
    for name in PRELOADED:
        importlib.import_module(name)
    answers = [run(case) for case in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
