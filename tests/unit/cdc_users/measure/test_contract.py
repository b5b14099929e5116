"""What a platform must say, and what it may leave out."""

from __future__ import annotations

import json

import msgspec
import pytest

from cdc_users.measure.contract import (
    ANSWERS,
    PlatformReady,
    PlatformTelemetry,
    SamplesTelemetry,
    contract_schema,
)
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
