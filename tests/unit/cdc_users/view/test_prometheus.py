"""Metrics: every name is documented with its kind and unit, and histograms add up."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc_users.measure.judgement.result import Verdict
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.step.state import StepState
from cdc_users.view import prometheus
from tests.unit.made_result import recorder, result
from tests.unit.made_run import MadeRun, moment, state

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


def lines(run: MadeRun) -> dict[str, float]:
    """Every sample by its name with its labels."""
    return {
        name: float(value)
        for name, _, value in (
            line.rpartition(" ")
            for line in prometheus.text(run).splitlines()
            if not line.startswith("#")
        )
    }


def test_every_gauge_is_of_the_newest_second_and_in_base_units() -> None:
    run = MadeRun()
    run.moments[-1] = moment(
        6,
        backlog=5,
        consumer_lag=4,
        slot_lag_bytes=3_000,
        debezium_behind_ms=250.0,
        debezium_queue_remaining=7.0,
        queue_depth=9,
        in_flight=2,
        paused_partitions=1,
        uss_mb=1.5,
        rss_mb=2.5,
    )
    found = lines(run)

    assert {name: found[name] for name in (item.name for item in prometheus.GAUGES)} == {
        "cdc_run_elapsed_seconds": 6.0,
        "cdc_run_concluded": 0.0,
        "cdc_backlog_events": 5.0,
        "cdc_topic_lag_events": 4.0,
        "cdc_slot_lag_bytes": 3_000.0,
        "cdc_debezium_behind_seconds": 0.25,
        "cdc_debezium_queue_remaining_events": 7.0,
        "cdc_platform_queue_events": 9.0,
        "cdc_platform_in_flight_events": 2.0,
        "cdc_platform_paused_partitions": 1.0,
        "cdc_platform_unique_memory_bytes": 1_500_000.0,
        "cdc_platform_resident_memory_bytes": 2_500_000.0,
    }
    assert lines(MadeRun(result=result()))["cdc_run_concluded"] == 1.0


def test_what_is_not_known_is_no_sample_and_not_zero() -> None:
    run = MadeRun()
    run.moments[-1] = moment(6, consumer_lag=None, slot_lag_bytes=None, queue_depth=None)
    run.look.processes["kafka"].uss_bytes = None
    found = lines(run)

    for name in ("cdc_topic_lag_events", "cdc_slot_lag_bytes", "cdc_platform_queue_events"):
        assert name not in found
    assert 'cdc_process_unique_memory_bytes{process="kafka"}' not in found
    assert found['cdc_process_resident_memory_bytes{process="kafka"}'] == 400_000_000.0
    assert found['cdc_process_cpu_seconds_total{process="kafka"}'] == 12.0
    assert found['cdc_process_written_bytes_total{process="kafka"}'] == 5_000_000.0


def test_before_the_first_second_no_gauge_of_the_timeline_is_told() -> None:
    found = lines(MadeRun(moments=[], marks=[]))

    assert [name for name in found if name.startswith(("cdc_backlog", "cdc_run_elapsed"))] == []
    assert found['cdc_arrivals_offered_total{step="step-1"}'] == 0.0
    assert found['cdc_run_info{run="abcd1234",scenario="throughput",stage="",step=""}'] == 1.0


def test_counters_are_of_each_step_that_has_begun() -> None:
    waiting = StepState(3, dataclasses.replace(state().step, name="step-3"))
    run = MadeRun(states=[state(failed=4), state("step-2", 2), waiting])
    run.look.sink.steps[1].duplicated = 6
    found = lines(run)

    def of(step: str) -> dict[str, float]:
        told = f'{{step="{step}"}}'
        return {name.removesuffix(told): found[name] for name in found if name.endswith(told)}

    assert of("step-1") == {
        "cdc_arrivals_offered_total": 1000.0,
        "cdc_arrivals_started_total": 1000.0,
        "cdc_arrivals_completed_total": 996.0,
        "cdc_arrivals_failed_total": 4.0,
        "cdc_arrivals_dropped_total": 0.0,
        "cdc_arrivals_late_total": 3.0,
        "cdc_events_sent_total": 1000.0,
        "cdc_events_delivered_total": 1000.0,
        "cdc_events_duplicated_total": 6.0,
        "cdc_delivered_bytes_total": 360_000.0,
    }
    second = of("step-2")
    assert second["cdc_events_duplicated_total"] == second["cdc_delivered_bytes_total"] == 0.0
    assert of("step-3") == {}


def test_what_has_come_was_sent_though_its_lane_has_not_heard_of_it() -> None:
    run = MadeRun()
    run.look.sink.steps[1].delivered = 1_200

    assert lines(run)['cdc_events_sent_total{step="step-1"}'] == 1_200.0


def test_a_latency_at_a_bound_is_within_it_and_one_beyond_all_is_counted() -> None:
    made = recorder()
    for value_us in (1_000, 1_001, 300_000_000, 400_000_000):
        made.histogram("end_to_end").record_us(value_us)
    run = MadeRun()
    run.look.sink.steps[1] = StepSnapshot(recorder=made)
    told = {
        bound: lines(run)[
            f'cdc_latency_seconds_bucket{{le="{bound}",series="end_to_end",step="step-1"}}'
        ]
        for bound in ("0.001", "0.0025", "300.0", "+Inf")
    }

    assert told["0.0025"] == 2.0
    assert told["+Inf"] == 4.0
    assert told["0.001"] <= told["0.0025"] <= told["300.0"] <= told["+Inf"]
    assert told["300.0"] in (2.0, 3.0), "the histogram's digits decide on which side it falls"
