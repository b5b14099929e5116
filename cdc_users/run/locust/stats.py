"""Gives Locust's statistics our precision, so that its table, page and files agree with the
histograms.

Locust keeps whole milliseconds below 100 ms, prints CSV percentiles as integers, and loses the last
second of its CSV. The bucket function is an official override (Locust documentation, "customizing
response time bucketing"); the others are the smallest possible corrections. `--json` empties the
statistics, which the CSV needs afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from locust import stats

from cdc_users.measure.latency.histogram import LatencyHistogram, locust_bucket_ms

DECIMALS = 3
_MARK = "cdc_where_any"


def install() -> None:
    """Put the overrides in place for this process; a second call changes nothing."""
    # Locust's types say int; its dictionaries and its wire take any number.
    stats.bucket_response_time = locust_bucket_ms  # type: ignore[assignment]
    stats.StatsCSV._percentile_fields = _percentile_fields  # type: ignore[assignment, method-assign]
    # mypy sees another parameter name; Locust passes it by position.
    for printed in ("print_stats", "print_percentile_stats"):
        setattr(stats, printed, _where_any(getattr(stats, printed)))
    stats.print_stats_json = _print_json  # type: ignore[assignment]
    stats.save_stats_json = _save_json  # type: ignore[assignment]
    if stats.StatsCSVFileWriter.close_files is not _close_files:
        stats.StatsCSVFileWriter.close_files = _close_files  # type: ignore[assignment, method-assign]


def _where_any(original: Callable[..., None]) -> Callable[..., None]:
    """Print Locust's own table unless it is empty: an empty one would only push errors off the
    screen.
    """
    if getattr(original, _MARK, False):
        return original

    def print_where_any(target: stats.RequestStats, *arguments: Any, **named: Any) -> None:
        if _entries(target):
            original(target, *arguments, **named)

    setattr(print_where_any, _MARK, True)
    return print_where_any


def _entries(target: stats.RequestStats) -> list[Any]:
    """All lines with requests, as Locust serialises them.

    Locust's own `serialize_stats` empties them, so its CSV, which is written last, was empty.
    """
    entries = target.entries.values()
    return [entry.serialize() for entry in entries if entry.num_requests or entry.num_failures]


def _print_json(target: stats.RequestStats) -> None:
    print(json.dumps(_entries(target), indent=4))


def _save_json(target: stats.RequestStats, filename: str) -> None:
    text = json.dumps(_entries(target), indent=4)
    Path(f"{filename}.json").write_text(text, encoding="utf-8")


def _percentile_fields(
    writer: stats.StatsCSV, entry: stats.StatsEntry, use_current: bool = False
) -> list[Any]:
    if not entry.num_requests:
        return list(writer.percentiles_na)
    current = use_current and entry.use_response_times_cache
    read = (
        entry.get_current_response_time_percentile
        if current
        else entry.get_response_time_percentile
    )
    return [round(read(point) or 0, DECIMALS) for point in writer.percentiles_to_report]


_original_close = stats.StatsCSVFileWriter.close_files


def _close_files(writer: stats.StatsCSVFileWriter) -> None:
    """Write every file once more, complete to the last request, and close them."""
    handle = writer.requests_csv_filehandle
    if not handle.closed:
        handle.seek(0)
        writer.requests_csv(writer.requests_csv_writer)
        handle.truncate()
        last = max(
            (
                entry.last_request_timestamp or 0
                for entry in writer.environment.stats.entries.values()
            ),
            default=0,
        )
        if last:
            writer._stats_history_data_rows(writer.stats_history_csv_writer, last + 1)
    _original_close(writer)


def add_latencies(
    target: stats.RequestStats, method: str, name: str, histogram: LatencyHistogram, at_s: float
) -> None:
    """Add a histogram's samples to one line of Locust's statistics, in bulk.

    The line is not part of "Aggregated", which stays the sum of what the users sent.
    """
    if histogram.count == 0:
        return
    addition: Any = stats.StatsEntry(target, name, method)
    addition.start_time = addition.last_request_timestamp = at_s
    addition.num_requests = histogram.count
    addition.total_response_time = histogram.sum_us / 1000
    addition.min_response_time = histogram.min_us / 1000
    addition.max_response_time = histogram.max_us / 1000
    addition.num_reqs_per_sec[int(at_s)] = histogram.count
    for value_us, count in histogram.buckets():
        addition.response_times[locust_bucket_ms(value_us / 1000)] += count
    target.get(name, method).extend(addition)
