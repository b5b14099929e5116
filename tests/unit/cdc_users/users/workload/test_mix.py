"""Mixes and skews at their bounds; what is no mix is refused with the part at fault."""

from __future__ import annotations

import pytest

from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.users.workload.workload import (
    Ranges,
    Workload,
    WorkloadError,
    parse_mix,
    parse_skew,
    writer_number,
)


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("insert=1", (1, 0, 0)),
        ("insert=80,update=15,delete=5", (80, 15, 5)),
        ("delete=5, insert = 5", (5, 0, 5)),
        ("insert=1,update=0,delete=0", (1, 0, 0)),
        ("insert=999999", (999_999, 0, 0)),
        ("insert=1k,update=1e3", (1000, 1000, 0)),
    ],
)
def test_a_mix_weighs_each_operation(text: str, mix: tuple[int, int, int]) -> None:
    assert parse_mix(text) == mix


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not part of a mix"),
        ("insert", "is not part of a mix"),
        ("insert=", "is not part of a mix"),
        ("insert=-1", "'insert=-1' is not part of a mix"),
        ("insert=1.5", "'insert=1.5' is not part of a mix"),
        ("insert=nan", "is not part of a mix"),
        ("insert=1,", "'' is not part of a mix"),
        ("insert=1,upsert=2", "'upsert=2' is not part of a mix"),
        ("Insert=1", "is not part of a mix"),
        ("insert=1000000", "weighs too much"),
        ("insert=1,update=" + "9" * 400, "weighs too much"),
        ("insert=0,update=1", "has no insert"),
        ("update=1", "has no insert"),
        ("insert=5,delete=6", "deletes more than it inserts"),
        ("insert=80,insert=5", "weighs insert twice; name each operation once"),
        ("insert=80,update=1,update=1", "weighs update twice"),
    ],
)
def test_what_is_no_mix_is_refused(text: str, told: str) -> None:
    with pytest.raises(WorkloadError, match=told):
        parse_mix(text)


@pytest.mark.parametrize(
    ("text", "skew"), [("uniform", 0.0), ("zipf:0.001", 0.001), ("zipf:5", 5.0), ("zipf:1e0", 1.0)]
)
def test_a_skew_is_uniform_or_an_exponent(text: str, skew: float) -> None:
    assert parse_skew(text) == skew


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zipf",
        "zipf:",
        "zipf:0",
        "zipf:-1",
        "zipf:5.001",
        "zipf:nan",
        "zipf:inf",
        "Zipf:1",
        "z:1",
    ],
)
def test_what_is_no_skew_is_refused(text: str) -> None:
    with pytest.raises(WorkloadError, match="is not a skew; write uniform, or zipf:S"):
        parse_skew(text)


def test_writers_of_neighbouring_steps_never_have_one_number() -> None:
    last, first = writer_number(3, LANES_PER_STEP - 1), writer_number(4, 0)

    assert first == last + 1
    assert (last // LANES_PER_STEP, first // LANES_PER_STEP) == (3, 4)


@pytest.mark.parametrize(
    ("mix", "alone"), [((1, 0, 0), True), ((1, 1, 0), False), ((1, 0, 1), False)]
)
def test_inserts_are_alone_without_updates_and_deletes(
    mix: tuple[int, int, int], alone: bool
) -> None:
    assert Workload(mix=mix).only_inserts is alone


def test_outcomes_without_a_gap_are_one_run_and_others_are_apart() -> None:
    ranges = Ranges()
    ranges.add("acked", 1, 3)
    ranges.add("acked", 4, 4)
    ranges.add("failed", 5, 5)
    ranges.add("acked", 6, 9)
    ranges.add("acked", 11, 11)

    assert ranges.runs == {"acked": [[1, 4], [6, 9], [11, 11]], "failed": [[5, 5]]}
