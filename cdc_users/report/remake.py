"""Reads a result directory, and makes its reports again from its files alone."""

from __future__ import annotations

import json
from pathlib import Path

from cdc_users.error import ResultError
from cdc_users.measure.judgement.result import SCHEMA, Result
from cdc_users.report import csv as statistic
from cdc_users.report import html as page
from cdc_users.report.answer import answer
from cdc_users.report.capacity import curve_csv, searches_of
from cdc_users.report.faults import faults_csv, with_faults
from cdc_users.report.table import columns, usable


def read(place: Path) -> Result:
    """A result directory's result; raises ResultError if this version can read none there."""
    path = place / "result.json"
    try:
        return Result.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ResultError(
            f"{place} holds no result.json; name the directory of a run that has ended"
        ) from None
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise ResultError(f"{path} is not JSON ({error}); run the scenario again") from error
    except ValueError as error:
        raise ResultError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{path} is not a result of schema {SCHEMA}: {error!r}; run the scenario again"
        ) from error


def write(place: Path, result: Result) -> Path:
    """Make the statistics and report.html from a result and the files beside it; returns the
    report's path.
    """
    try:
        (place / "statistics.csv").write_text(statistic.statistics_csv(result), encoding="utf-8")
        if with_faults(result):
            (place / "faults.csv").write_text(faults_csv(result), encoding="utf-8")
        if any(searches_of(result)):
            (place / "capacity.csv").write_text(curve_csv(result), encoding="utf-8")
        shown = columns(result.steps)
        rows = [[column.read(step) for column in shown] for step in result.steps]
        return page.write(
            place, result, page.Digest(answer(result), usable(result.verdict), shown, rows)
        )
    except OSError as error:
        raise ResultError(f"the report cannot be written to {place}: {error.strerror}") from error
