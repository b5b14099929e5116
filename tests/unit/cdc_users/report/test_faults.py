"""What faults did is told in a row each, and nothing is told where there was none."""

from __future__ import annotations

import csv
import io
from typing import Any

from cdc_users.report.faults import HEAD, OF_LEDGER, SHOWN, faults_csv, faults_table
from cdc_users.report.quantity import NAME_WIDTH
from cdc_users.step.fault import FIGURES
from tests.unit.made_result import result, step_result

FAULT: dict[str, Any] = {
    **dict.fromkeys(FIGURES),
    "name": "kill-kafka",
    "detected_s": 0.04,
    "outage_s": 12.25,
    "most_backlog": 1234,
    "p99_ms": 5.55,
}


def test_without_a_fault_there_is_no_table() -> None:
    assert faults_table(result()) == []
    assert faults_csv(result()) == ",".join(HEAD) + "\n"


def test_each_fault_has_a_line_in_the_columns_of_the_heading() -> None:
    steps = [step_result("a", fault=FAULT), step_result("calm"), step_result("b", fault=FAULT)]

    head, *lines = faults_table(result(steps=steps))

    assert len(lines) == 2
    assert {len(line) for line in (head, *lines)} == {
        NAME_WIDTH + 11 * (len(SHOWN) + len(OF_LEDGER))
    }
    assert head.split()[:2] == ["Fault", "detected"]
    assert lines[0].split() == [
        *("kill-kafka", "0.0s", "-", "12.2s", "-", "-", "-", "1234", "-", "5.5ms"),
        *("0", "0", "0", "-", "-", "0"),
    ]


def test_a_row_has_every_figure_and_is_empty_where_none_is_known() -> None:
    text = faults_csv(result(steps=[step_result("=a", fault=FAULT)]))

    (row,) = csv.DictReader(io.StringIO(text))
    assert tuple(row) == HEAD
    assert (row["step"], row["outage_s"], row["best_s"]) == ("'=a", "12.25", "")
    assert (row["sent"], row["lost"], row["verdict"]) == ("1000", "0", "PASS")


def test_a_name_that_is_longer_than_its_column_keeps_its_figures_apart() -> None:
    name = "a-fault-of-somebody-else-with-a-long-name"

    _, line = faults_table(result(steps=[step_result(fault={**FAULT, "name": name})]))

    assert line.startswith(f"{name}       0.0s")
