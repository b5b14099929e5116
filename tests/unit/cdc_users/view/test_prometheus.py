"""Metrics: every name is documented with its kind and unit, and histograms add up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc_users.measure.judgement.result import Verdict
from cdc_users.view import prometheus
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun

pytestmark = pytest.mark.gevent

DOCUMENT = Path(__file__).parents[4] / "docs" / "metrics.md"


def families(run: MadeRun | None) -> dict[str, str]:
    found = text_string_to_metric_families(prometheus.text(run))
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in found
    }


def test_every_exported_name_is_declared_with_its_kind() -> None:
    assert families(MadeRun()) == {name: kind for name, (kind, _) in prometheus.NAMES.items()}


def test_the_document_lists_exactly_the_declared_names_kinds_and_units() -> None:
    rows = re.findall(
        r"^\| `(cdc_\w+)` \| (\w+) \| ([^|]+) \|",
        DOCUMENT.read_text(encoding="utf-8"),
        re.MULTILINE,
    )

    assert {name: (kind, unit.strip()) for name, kind, unit in rows} == dict(prometheus.NAMES)


def test_names_carry_base_units() -> None:
    for name, (kind, unit) in prometheus.NAMES.items():
        assert name.endswith("_total") == (kind == "counter"), name
        if unit in ("seconds", "bytes", "events", "partitions"):
            assert unit in name, name


def test_a_histogram_ends_with_all_its_samples_and_their_sum() -> None:
    (family,) = [
        item
        for item in text_string_to_metric_families(prometheus.text(MadeRun()))
        if item.name == prometheus.HISTOGRAM
    ]
    ours = [sample for sample in family.samples if sample.labels["series"] == "end_to_end"]
    buckets = {
        sample.labels["le"]: sample.value for sample in ours if sample.name.endswith("_bucket")
    }

    assert buckets["0.005"] == 0
    assert buckets["0.025"] == buckets["+Inf"] == 1000
    assert [sample.value for sample in ours if sample.name.endswith("_sum")] == [10.0]


def test_the_verdict_is_one_of_all() -> None:
    (family,) = [
        item
        for item in text_string_to_metric_families(
            prometheus.text(MadeRun(result=result(Verdict.FAIL)))
        )
        if item.name == prometheus.VERDICT
    ]

    assert {sample.labels["verdict"]: sample.value for sample in family.samples} == {
        verdict.value: float(verdict is Verdict.FAIL) for verdict in Verdict
    }


def test_labels_that_would_break_the_format_are_escaped() -> None:
    run = MadeRun(id='a"b\n}')

    assert 'run="a\\"b\\n}"' in prometheus.text(run)


def test_without_a_run_there_is_nothing_to_tell() -> None:
    assert prometheus.text(None) == ""


def test_what_is_offered_is_what_was_due_and_not_the_whole_plan() -> None:
    going_on, over = MadeRun(), MadeRun()
    over.states[0].loaded_us = 2_000_000

    assert 'cdc_arrivals_offered_total{step="step-1"} 600.0' in prometheus.text(going_on)
    assert 'cdc_arrivals_offered_total{step="step-1"} 1000.0' in prometheus.text(over)
