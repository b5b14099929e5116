"""Verdicts and exit codes, and what of a result goes into result.json and comes out again."""

from __future__ import annotations

import itertools
import json
from dataclasses import fields, replace
from typing import Any

import pytest

from cdc_users.measure.judgement.result import (
    SCHEMA,
    WORST_FIRST,
    Result,
    StepResult,
    Verdict,
    step_json,
    verdict_of,
    worst,
)
from tests.unit.made_result import result, step_result


def test_each_verdict_has_an_exit_code_of_its_own_and_is_found_by_it() -> None:
    codes = {verdict.exit_code: verdict for verdict in Verdict}

    assert len(codes) == len(Verdict)
    assert sorted(codes) == sorted(WORST_FIRST)
    assert {code: verdict_of(code) for code in codes} == codes


@pytest.mark.parametrize("code", [-9, 5, 77, 143])
def test_an_exit_code_that_is_not_ours_is_an_error_of_the_harness(code: int) -> None:
    assert verdict_of(code) is Verdict.ERROR
    assert worst([0, code]) == Verdict.ERROR.exit_code


@pytest.mark.parametrize(
    ("worse", "better"), [*itertools.pairwise(("ERROR", "STACK", "INVALID", "FAIL", "PASS"))]
)
def test_the_worst_of_several_verdicts_is_the_suites(worse: str, better: str) -> None:
    codes = [Verdict(worse).exit_code, Verdict(better).exit_code]

    assert worst(codes) == worst(codes[::-1]) == codes[0]


def test_nothing_that_ran_is_no_failure() -> None:
    assert worst([]) == 0


@pytest.mark.parametrize(
    ("verdict", "reasons", "expected"),
    [
        ("PASS", [], ["PASS", "PASS"]),
        ("FAIL", ["a: lost == 0, but it is 3"], ["FAIL", "PASS"]),
        ("FAIL", ["a: lost == 0", "b: unseen == 0"], ["FAIL", "FAIL"]),
        ("FAIL", ["a: lost == 0", "the platform reports: it died"], ["FAIL", "FAIL"]),
        ("FAIL", ["ab: lost == 0"], ["FAIL", "FAIL"]),
        ("INVALID", ["a: the plan was not kept"], ["INVALID", "INVALID"]),
    ],
)
def test_a_step_fails_by_reasons_of_its_own_or_of_the_run(
    verdict: str, reasons: list[str], expected: list[str]
) -> None:
    steps = [step_result("a"), step_result("b")]
    made = result(Verdict(verdict), reasons=reasons, steps=steps)

    assert [made.verdict_at(step.name).value for step in steps] == expected


def test_a_result_comes_out_of_its_file_as_it_went_in() -> None:
    made = result(
        Verdict.FAIL,
        reasons=["a"],
        notes=["b"],
        steps=[
            step_result(),
            step_result("other", messages=None, warm_up=True, probe=True, cost={"kafka": None}),
        ],
    )

    again = Result.from_json(json.loads(json.dumps(made.to_json())))

    assert again == made
    assert again.steps[1].arrivals == made.steps[1].arrivals


def test_a_step_in_the_file_has_every_field() -> None:
    assert set(step_json(step_result())) == {item.name for item in fields(StepResult)}


@pytest.mark.parametrize("schema", [None, 0, SCHEMA - 1, SCHEMA + 1, str(SCHEMA)])
def test_a_file_of_another_schema_is_refused_by_its_number(schema: object) -> None:
    data = {**result().to_json(), "schema": schema}

    with pytest.raises(ValueError, match=f"has schema {schema!r}, this version reads {SCHEMA}"):
        Result.from_json(data)


def test_a_file_from_before_there_were_searches_has_none() -> None:
    data = result().to_json()
    del data["capacity"]

    assert Result.from_json(data).capacity is None


def test_no_verdict_is_worse_than_an_error_and_none_better_than_a_pass() -> None:
    codes = [verdict.exit_code for verdict in Verdict]

    assert worst(codes) == Verdict.ERROR.exit_code == 2
    assert worst([0, 0]) == 0
    assert worst([1, 0, 4, 0]) == Verdict.INVALID.exit_code == 4
    assert worst([4, 3, 1]) == Verdict.STACK.exit_code == 3


def test_what_a_file_holds_is_plain_data_and_no_part_of_the_result() -> None:
    """A report may change what it has read; the result stays."""
    made = result(reasons=["a"])
    data = made.to_json()
    assert data["verdict"] == "PASS"

    data["reasons"].append("b")  # type: ignore[attr-defined]
    data["options"]["rate"] = 7  # type: ignore[index]

    assert list(made.reasons) == ["a"]
    assert "rate" not in made.options


def test_summaries_of_searches_and_scaling_are_kept_as_they_are() -> None:
    told: dict[str, Any] = {"capacity": {"kind": "interval", "low_per_s": 5.0}, "scaling": {}}
    told["capacities"] = {"searches": [told["capacity"]]}

    again = Result.from_json(json.loads(json.dumps(replace(result(), **told).to_json())))

    assert {name: getattr(again, name) for name in told} == told
