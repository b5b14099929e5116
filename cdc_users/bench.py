"""`make bench`: every scenario on one stack, each in a fresh process, and one table at the end.

`python -m cdc_users.bench` starts the stack unless it is up and runs the scenarios' thin tests one
after another, also after a failure. It stops a stack that it started, writes results/bench.html,
bench.csv and bench.json, and prints all results as one table. It exits with the worst exit code of
its modules (order 2, 3, 4, 1, 0).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc_users.error import OptionsError
from cdc_users.measure.judgement.result import worst
from cdc_users.options.described import pipeline_path, read_described
from cdc_users.options.options import OPTIONS
from cdc_users.options.parse import words
from cdc_users.pipeline.provision.allow_list import stack_mistakes
from cdc_users.report import overview
from cdc_users.report.directory import write_json
from cdc_users.report.table import terminal_width
from infra.client.environment import leave_out_access, module_command
from infra.stack.error import StackError
from infra.stack.find.external import source
from infra.stack.find.locate import locate
from infra.stack.pipeline_file.read import VARIABLE as PIPELINE
from infra.stack.supervise.state import CHECKOUT
from infra.validate import unwritable

LOCUSTFILES, THIN_TESTS = CHECKOUT / "locustfiles", CHECKOUT / "tests" / "benchmark"
#: Exit codes of locust once a scenario has begun.
EXIT_CODES = range(5)
#: The scenarios by name; each is one file.
MODULES = tuple(sorted(path.stem for path in LOCUSTFILES.glob("[a-z]*.py")))


@dataclass(frozen=True, slots=True)
class ModuleOutcome:
    """One module's end: its exit code and the result directories that it left."""

    module: str
    exit_code: int
    results: Sequence[Path]
    #: What its thin test left out, each with the reason.
    left_out: Sequence[str] = ()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m cdc_users.bench", description="Run the scenarios on real servers."
    )
    top.add_argument(
        "--only", default=",".join(MODULES), help="modules by comma (default: %(default)s)"
    )
    top.add_argument(
        "--results", default="results", help="where result directories go (default: results)"
    )
    top.add_argument(
        "--pipeline", default="", help="a pipeline file, or the name of one (docs/pipeline.md)"
    )
    return top


def command_of(module: str) -> list[str]:
    """The command for a scenario: its thin test, which also checks the result, or else locust."""
    for test in sorted(THIN_TESTS.glob("test_*.py")):
        if f'run_scenario("{module}"' in test.read_text(encoding="utf-8"):
            return [sys.executable, "-m", "pytest", "-s", "-q", str(test.relative_to(CHECKOUT))]
    file = str((LOCUSTFILES / f"{module}.py").relative_to(CHECKOUT))
    return [sys.executable, "-m", "locust", "-f", file, "--headless", "--only-summary"]


def run_module(module: str, results: Path) -> ModuleOutcome:
    """Run one module in a fresh process; its output is passed on as it comes."""
    before = set(results.glob("*/result.json"))
    status, left_out = results / f".{module}.status", results / f".{module}.left-out"
    for note in (status, left_out):
        note.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CDC_RESULTS": str(results),
        "CDC_BENCH_STATUS": str(status),
        "CDC_BENCH_LEFT_OUT": str(left_out),
    }
    code = subprocess.run(command_of(module), cwd=CHECKOUT, env=environment, check=False).returncode
    # pytest's exit code says only failed or not; the thin test therefore writes locust's own exit
    # code beside the results.
    if status.exists():
        code = int(status.read_text(encoding="ascii"))
    elif code != 0 and ("pytest" in command_of(module) or code not in EXIT_CODES):
        code = 2
    reasons = left_out.read_text(encoding="utf-8").splitlines() if left_out.exists() else []
    for note in (status, left_out):
        note.unlink(missing_ok=True)
    places = sorted(path.parent for path in set(results.glob("*/result.json")) - before)
    return ModuleOutcome(module, code, places, reasons)


def consolidate(outcomes: Sequence[ModuleOutcome], results: Path, width: int) -> int:
    """Write bench.json, bench.csv and bench.html over all modules, and print the table, what was
    left out, the paths and the verdicts; returns the exit code.
    """
    code = worst([outcome.exit_code for outcome in outcomes])
    modules = [
        overview.module_of(one.module, one.exit_code, one.results, one.left_out) for one in outcomes
    ]
    places = [place for outcome in outcomes for place in outcome.results]
    summary = overview.Overview(code, modules, overview.facts_of(places))
    write_json(results / "bench.json", summary.to_json())
    (results / "bench.csv").write_text(summary.csv(), encoding="utf-8")
    (results / "bench.html").write_text(overview.html(summary), encoding="utf-8")
    print(f"\n{overview.text(summary, results, width)}", flush=True)
    return code


def environment_mistakes(environ: Mapping[str, str]) -> list[str]:
    """Mistakes in the environment's options that no module could read (`CDC_RATE` for `--rate`)."""
    found = []
    for option in OPTIONS:
        try:
            option.value(environ.get(option.variable) or option.default)
        except ValueError as error:
            found.append(f"{option.variable}: {error}")
    return found


def check(options: argparse.Namespace, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The modules to run; raises OptionsError with all mistakes before it asks a server or writes a
    file.
    """
    chosen = tuple(dict.fromkeys(name.strip() for name in options.only.split(",") if name.strip()))
    mistakes = environment_mistakes(environ)
    allowed = environ.get("CDC_ALLOW_TARGET", "")
    if environ.get(PIPELINE):
        found = read_described(Path(environ[PIPELINE]))
        allowed = allowed or found.texts.get("allow_target", "")
        mistakes += found.mistakes
    if not chosen or not set(chosen) <= set(MODULES):
        mistakes.append(
            f"--only {options.only!r} names no module, or one that is none of {', '.join(MODULES)}"
        )
    mistakes += stack_mistakes(CHECKOUT, environ, words(allowed))
    if why := unwritable(Path(options.results)):
        mistakes.append(
            f"--results {options.results}: {why}; name a directory that can be written to"
        )
    if mistakes:
        raise OptionsError(mistakes)
    return chosen


def main(arguments: Sequence[str]) -> int:
    """Run the modules and return the worst exit code; the module's docstring has the details."""
    options = parser().parse_args(arguments)
    try:
        if options.pipeline:
            os.environ[PIPELINE] = str(pipeline_path(options.pipeline))
    except StackError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if source(os.environ) is None:
        leave_out_access(os.environ)
    try:
        chosen = check(options, os.environ)
        owned = locate(CHECKOUT, os.environ) is None
    except (OptionsError, StackError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    results = Path(options.results).resolve()
    results.mkdir(parents=True, exist_ok=True)
    # The stack must be stopped also when a signal ends this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if owned and (code := _stack("up")) != 0:
            return code
        outcomes = [run_module(module, results) for module in chosen]
    except KeyboardInterrupt:
        return 130
    finally:
        if owned:
            _stack("down")
    return consolidate(outcomes, results, terminal_width())


def _stack(command: str) -> int:
    return subprocess.run(
        module_command("infra.stack", command), cwd=CHECKOUT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
