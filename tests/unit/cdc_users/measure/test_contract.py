"""What a platform must say, and what it may leave out."""

from __future__ import annotations

import json
from typing import cast

import msgspec
import pytest

from cdc_users.measure.contract import (
    ANSWERS,
    PlatformReady,
    PlatformTelemetry,
    SamplesTelemetry,
    TelemetrySample,
    contract_schema,
)
from cdc_users.measure.step import StepTelemetry
from infra.client.environment import ROOT

SCHEMA = ROOT / "docs" / "platform-contract.schema.json"
PAGE = ROOT / "docs" / "platform-contract.md"


def test_the_schema_of_the_page_is_the_one_that_is_read_by() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json.loads(
        msgspec.json.encode(contract_schema())
    ), "python -m cdc_users.measure.contract > docs/platform-contract.schema.json"


@pytest.mark.parametrize("kind", [PlatformReady, PlatformTelemetry, SamplesTelemetry])
def test_an_empty_object_is_an_answer(kind: type[msgspec.Struct]) -> None:
    assert isinstance(msgspec.json.decode(b"{}", type=kind), kind)


def test_a_platform_that_does_not_tell_its_partitions_is_not_one_without_any() -> None:
    silent = msgspec.json.decode(b"{}", type=PlatformTelemetry)
    idle = msgspec.json.decode(b'{"consumer": {"partitions": {}}}', type=PlatformTelemetry)
    assert silent.consumer.partitions is None
    assert idle.consumer.partitions == {}


def test_the_page_names_every_route() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for where in ANSWERS:
        assert where.removeprefix("the ") in page


def test_the_example_is_short_and_whole() -> None:
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) <= 40
    compile(code, "copier.py", "exec")


def test_what_a_platform_leaves_out_is_not_known_and_what_it_counts_is_nothing() -> None:
    sample = msgspec.json.decode(b'{"number": 1, "at_us": 2}', type=TelemetrySample)

    unknown = ("high_water", "lag", "rss_bytes", "uss_bytes", "slot_lag_bytes")
    assert all(getattr(sample, name) is None for name in unknown)
    counted = ("queue_depth", "in_flight", "paused_partitions", "completions", "workers")
    assert [getattr(sample, name) for name in counted] == [0] * 5


@pytest.mark.parametrize("text", [b"{}", b'{"number": 1}', b'{"at_us": 1}'])
def test_a_sample_has_its_number_and_its_time(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        msgspec.json.decode(text, type=TelemetrySample)


def test_answers_of_two_platforms_share_nothing() -> None:
    first, second = PlatformTelemetry(), PlatformTelemetry()
    first.consumer.errors.append("one")
    first.steps[1] = StepTelemetry(delivered=1)

    assert (second.consumer.errors, second.steps) == ([], {})


def test_the_schema_says_which_fields_must_be_there() -> None:
    parts = cast(dict[str, dict[str, object]], contract_schema()["$defs"])

    assert parts["StepTelemetry"]["required"] == ["delivered"]
    assert parts["TelemetrySample"]["required"] == ["number", "at_us"]
    assert parts["ProgressTelemetry"]["required"] == ["steps", "fences"]
    assert (
        "required" not in parts["PlatformTelemetry"] or not parts["PlatformTelemetry"]["required"]
    )
