"""Which options stand together, in the form and on the page, and which the form may not set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc_users.options.options import OPTIONS, Option

#: The form's groups, in order; an option that stands in none is shown in the last.
GROUPS: Mapping[str, Sequence[str]] = {
    "Load": (
        "rows",
        "rate",
        "duration",
        "stages",
        "warm_up",
        "arrival",
        "late",
        "lanes",
        "records",
        "mode",
        "smoke",
    ),
    "Rows": (
        "rows_per_transaction",
        "insert_method",
        "row_bytes",
        "mix",
        "key_skew",
        "live_keys",
        "tables",
        "seed",
        "debezium_headers",
        "evolve_at",
    ),
    "Pipeline": (
        "source",
        "capture",
        "transport",
        "partitions",
        "instances",
        "batch_size",
        "max_buffered_messages",
        "tuning",
    ),
    "Sink": ("sink", "sinks", "sink_delay", "iceberg_mode", "iceberg_commit_interval"),
    "One scenario's own": ("overload", "fill", "hold", "repeat"),
    "Verdict": ("threshold", "drain_timeout"),
    "Your own pipeline": (
        "topic",
        "connector",
        "table",
        "sink_tap",
        "kinesis_endpoint",
        "pubsub_endpoint",
    ),
}
REST = "More"
#: Said on the command line only: they run a command, name a place to write or another host to
#: load, or decide how this page itself is served. Who may only see the page must not choose them.
NOT_IN_FORM = ("platform", "results", "allow_target", "allow_web_host", "metrics_port", "quiet")


def grouped() -> dict[str, list[Option]]:
    """The options by group, in the order of the form."""
    by_name = {option.name: option for option in OPTIONS if option.name not in NOT_IN_FORM}
    groups = {
        title: [by_name.pop(name) for name in names if name in by_name]
        for title, names in GROUPS.items()
    }
    return {
        title: found for title, found in {**groups, REST: list(by_name.values())}.items() if found
    }
