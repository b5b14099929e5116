"""A run's files on the page: those of the current run, and those in the archive."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import orjson
from flask import Response

from cdc_users.report import csv as statistic
from cdc_users.report import directory
from cdc_users.view.run_view import RunView
from cdc_users.view.web.archive import Archive

NOT_YET = "The run has not concluded yet; this file is complete at its end."
DOWNLOADS = (
    ("statistics.csv", "Download CDC statistics CSV"),
    ("timeline.csv", "Download CDC timeline CSV"),
    ("result.json", "Download result.json"),
    ("report.html", "Download CDC report"),
)
#: The report brings its own script and styles, and may load nothing.
KINDS = {".html": "text/html", ".json": "application/json", ".csv": "text/csv"}
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
)


class RunFiles:
    """Answers requests for files; 404 for files that do not exist, or do not exist yet.

    `results` returns the directory of runs; it is called on first use.
    """

    def __init__(
        self, current_run: Callable[[], RunView | None], results: Callable[[], Path]
    ) -> None:
        self._current_run = current_run
        self._results = results

    @cached_property
    def _archive(self) -> Archive:
        return Archive(self._results())

    def archived(self) -> Response:
        """The runs of the results directory, as JSON."""
        return Response(orjson.dumps(self._archive.runs()), mimetype="application/json")

    def of_archive(self, directory: str, name: str) -> Response:
        """A file of a run that has ended."""
        path = self._archive.file(directory, name)
        if path is None:
            return Response("no such file", 404, mimetype="text/plain")
        kind = KINDS.get(path.suffix, "text/plain")
        response = Response(path.read_bytes(), mimetype=kind)
        response.headers.set("Content-Disposition", "inline", filename=path.name)
        if kind == "text/html":
            response.headers["Content-Security-Policy"] = REPORT_POLICY
        return response

    def statistics(self) -> Response:
        """A concluded run's statistics as CSV."""
        run = self._current_run()
        if run is None or run.result is None:
            return _not_yet()
        return _download(
            statistic.statistics_csv(run.result), f"{run.directory.name}-statistics.csv", "text/csv"
        )

    def timeline(self) -> Response:
        """A run's timeline so far as CSV."""
        run = self._current_run()
        if run is None:
            return _not_yet()
        return _download(
            directory.timeline(run.moments), f"{run.directory.name}-timeline.csv", "text/csv"
        )

    def concluded(self, name: str, kind: str) -> Response:
        """A file of this media type that a run writes at its end."""
        run = self._current_run()
        path = run.directory / name if run is not None and run.result is not None else None
        if run is None or path is None or not path.is_file():
            return _not_yet()
        return _download(path.read_text(encoding="utf-8"), f"{run.directory.name}-{name}", kind)


def _download(text: str, name: str, kind: str) -> Response:
    response = Response(text, mimetype=kind)
    # A directory's name is time, scenario and run, without quotes; but a header should not rely on
    # that.
    response.headers.set(
        "Content-Disposition", "inline" if kind == "text/html" else "attachment", filename=name
    )
    return response


def _not_yet() -> Response:
    return Response(NOT_YET, 404, mimetype="text/plain")
