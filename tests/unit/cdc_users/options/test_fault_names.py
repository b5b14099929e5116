"""Which faults may be named, and which pipelines allow which."""

from __future__ import annotations

import dataclasses

import pytest

from cdc_users.options.fault_names import ALL, NEEDS, chosen, fault_names, lacking
from cdc_users.scenario import Pipeline
from infra.faults.fault import faults

DEBEZIUM = Pipeline(sink="postgres", watched=True)
READER = Pipeline(capture="wal", transport="kafka", sink="counting", watched=True)


def test_names_are_read_in_their_order() -> None:
    assert fault_names("kill-kafka, kill-connect") == ("kill-kafka", "kill-connect")


def test_an_unknown_fault_is_told_with_the_nearest_name_and_all_of_them_together() -> None:
    with pytest.raises(ValueError, match=r"kill-conect.*kill-connect.*pause-kafak.*pause-kafka"):
        fault_names("kill-conect,pause-kafak")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (",", "names no fault"),
        ("xyz", "docs/faults.md"),
        ("all,kill-connect", "write all alone"),
        ("kill-connect,kill-connect", "named twice; --rounds"),
    ],
)
def test_what_names_no_faults_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fault_names(text)


def test_all_is_every_fault_that_the_pipeline_allows_and_says_why_not_the_others() -> None:
    possible, reasons = chosen((ALL,), DEBEZIUM)

    assert "kill-connect" in possible
    assert "kill-reader" not in possible
    assert any("kill-reader needs the direct reader" in reason for reason in reasons)
    for name in possible:
        assert not lacking(faults().by_name[name], DEBEZIUM)


@pytest.mark.parametrize(
    ("capture", "transport", "allowed"),
    [
        ("wal", "kafka", True),
        ("debezium-server", "http", True),
        ("debezium", "kafka", False),
        ("subscription", "postgres", False),
        ("none", "none", False),
    ],
)
def test_a_reader_can_be_killed_where_it_is_a_process_of_the_run(
    capture: str, transport: str, allowed: bool
) -> None:
    pipeline = Pipeline(capture=capture, transport=transport, sink_tap="webhook:1")

    assert (lacking(faults().by_name["kill-reader"], pipeline) == []) is allowed


@pytest.mark.parametrize(
    ("fault", "pipeline", "told"),
    [
        ("kill-connect", READER, "--capture debezium"),
        ("kill-reader", DEBEZIUM, "--capture wal"),
        ("kill-platform", READER, "a platform that the run has started"),
        ("kill-platform", dataclasses.replace(DEBEZIUM, sink="counting"), "--sink postgres"),
        ("lock-sink-table", dataclasses.replace(DEBEZIUM, sink="webhook"), "a table as sink"),
        ("kill-postgres", dataclasses.replace(DEBEZIUM, source="topic"), "--source postgres"),
        (
            "delete-connector",
            dataclasses.replace(DEBEZIUM, connector="mine"),
            "without --connector",
        ),
        ("add-column", dataclasses.replace(DEBEZIUM, table="a.b"), "leave --table"),
        ("kill-primary", dataclasses.replace(DEBEZIUM, connector="mine"), "without --connector"),
        ("planned-fail-over", dataclasses.replace(DEBEZIUM, capture="none"), "--capture debezium"),
    ],
)
def test_a_fault_that_a_pipeline_does_not_allow_says_what_is_missing(
    fault: str, pipeline: Pipeline, told: str
) -> None:
    reasons = " ".join(lacking(faults().by_name[fault], pipeline))

    assert told in reasons
    assert reasons.startswith(f"--faults {fault} needs ")


def test_every_need_has_a_remedy_but_that_which_is_no_matter_of_the_pipeline() -> None:
    assert [need for need, (_, remedy) in NEEDS.items() if not remedy] == [
        "stack",
        "process stack",
    ]


def test_on_mariadb_its_reader_can_be_killed_and_what_is_postgresqls_is_refused() -> None:
    pipeline = Pipeline("mariadb", "debezium-server", "http")
    possible, refused = chosen(["kill-reader", "drop-slot", "truncate-table"], pipeline)

    assert possible == ["kill-reader"]
    assert "--faults drop-slot needs PostgreSQL as source; use --source postgres" in refused
