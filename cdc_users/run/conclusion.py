"""The end of a run: its result from everything that was gathered, and all its files."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace

import structlog

from cdc_users.error import ResultError
from cdc_users.measure.judgement.result import Result, Verdict
from cdc_users.options.options import command_line
from cdc_users.report import directory, remake, table
from cdc_users.run.context import RunContext
from cdc_users.step.result import RunRequest, conclude

logger = structlog.get_logger()


def concluded(run: RunContext, versions: Mapping[str, str]) -> Result:
    """The run's result, written to its files; a failure to write is an error of the harness."""
    facts = run.facts
    facts.stop_reason = run.stopping.reason
    facts.clock_step_ms = run.watch.clock_step_ms()
    facts.notes += run.watch.stalls
    parsed = run.environment.parsed_options or Namespace()
    command = command_line(run.scenario, sys.argv[1:], vars(parsed))
    request = RunRequest(run.scenario, run.id, command, directory.plain(run.options))
    result = conclude(request, run.states, facts)
    try:
        _write(run, result, versions)
    except ResultError as error:
        # A result that cannot be written is no result, whatever its verdict was.
        result = replace(result, verdict=Verdict.ERROR, reasons=[str(error), *result.reasons])
    for step in result.steps:
        logger.info("benchmark.result", **table.line(step))
    return result


def _write(run: RunContext, result: Result, versions: Mapping[str, str]) -> None:
    """Write all files, result.json last; raises ResultError for the first file that cannot be
    written.
    """
    place, options = run.directory, directory.plain(run.options)
    directory.write_gathered(place, run.states, run.facts)
    directory.write_samples(place / "samples.csv", run.samples.rows())
    directory.write_timeline(place / "timeline.csv", run.watch.moments)
    directory.write_heat(place / "latency_heat.json", run.watch.heat)
    time = directory.RunTime(run.began, run.watch.total_s, run.load_average)
    directory.write_json(
        place / "environment.json",
        {**directory.when(time), **directory.environment(versions, options)},
    )
    parsed = run.environment.parsed_options
    directory.write_beside(
        parsed.csv_prefix if parsed is not None else None, result, run.watch.moments
    )
    remake.write(place, result)
    directory.write_result(place, result)


def spoiled(run: RunContext, reason: str) -> None:
    """The harness failed after the conclusion: the result says so."""
    try:
        written = remake.read(run.directory)
        result = replace(written, verdict=Verdict.ERROR, reasons=[reason, *written.reasons])
        directory.write_result(run.directory, result)
        remake.write(run.directory, result)
    except ResultError as error:
        logger.error("benchmark.result.unwritten", problem=str(error))  # noqa: TRY400 - the message says all there is
