"""A load as a share of a capacity: what it is a share of, and what contradicts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdc_users.error import OptionsError
from cdc_users.options.fault_load import arrivals_per_s, measured_capacity, share
from cdc_users.options.options import resolve, texts


def written(directory: Path, content: object) -> str:
    path = directory / "result.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_share_is_a_percentage() -> None:
    assert share("50%") == 0.5
    assert share("100%") == 1.0


@pytest.mark.parametrize("text", ["50", "0%", "101%", "x%", "%", "nan%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"%|number|percentage"):
        share(text)


def test_a_capacity_is_a_rate_or_what_a_search_has_found(tmp_path: Path) -> None:
    assert measured_capacity("2000/s") == 2000
    assert measured_capacity(written(tmp_path, {"capacity": {"low_per_s": 1250}})) == 1250
    for verdict in ("PASS", "FAIL"):
        found = {"capacity": {"low_per_s": 1250}, "verdict": verdict}
        assert measured_capacity(written(tmp_path, found)) == 1250


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"scenario": "latency", "capacity": None}, "no result of the scenario capacity"),
        ([], "no result of the scenario capacity"),
        ({"capacity": {"low_per_s": None, "why": "the pipeline broke"}}, "the pipeline broke"),
        ({"capacity": {"low_per_s": 0}}, "found no sustainable rate"),
        ({"capacity": {"low_per_s": -1}}, "found no sustainable rate"),
        ({"capacity": {"low_per_s": float("nan")}}, "found no sustainable rate"),
        ({"capacity": {"low_per_s": float("inf")}}, "found no sustainable rate"),
        ({"capacity": {"low_per_s": "1250"}}, "found no sustainable rate"),
        ({"capacity": {"low_per_s": 9}, "verdict": "INVALID"}, "is INVALID, so its rate"),
    ],
)
def test_a_result_without_a_rate_is_refused(tmp_path: Path, content: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        measured_capacity(written(tmp_path, content))


def test_a_file_that_is_not_there_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.json cannot be read"):
        measured_capacity(str(tmp_path / "nothing.json"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"at": "50%"}, "--at needs --capacity"),
        ({"capacity": "100"}, "--capacity needs --at"),
        ({"at": "50%", "capacity": "100", "rate": "5"}, "--rate and --at contradict"),
    ],
)
def test_a_share_alone_or_beside_a_rate_is_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(OptionsError, match=told):
        resolve(texts({"faults": "kill-connect", **given}, {}))


def test_all_that_is_wrong_with_a_share_is_told_together() -> None:
    with pytest.raises(OptionsError) as told:
        resolve(texts({"faults": "kill-conect", "at": "0%", "rounds": "0", "capacity": "x"}, {}))

    flags = [mistake.split(":")[0] for mistake in told.value.mistakes]
    assert {"--faults", "--at", "--rounds", "--capacity"} <= set(flags)


def test_a_scenarios_own_rate_gives_way_to_a_share() -> None:
    options = resolve(
        texts({"faults": "kill-connect", "at": "25%", "capacity": "400"}, {"rate": "500"})
    )

    assert options.rate is None
    assert arrivals_per_s(options.rate, options.at, options.capacity, 1) == 100


def test_a_rate_is_taken_as_it_is() -> None:
    assert arrivals_per_s(30.0, None, None, 4) == 30.0
