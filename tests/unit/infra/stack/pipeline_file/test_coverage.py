"""What can be measured with a pipeline, and why not what cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.stack.pipeline_file.coverage import Coverage, coverage
from infra.stack.pipeline_file.found import PartFound, PartTrouble, PipelineFound, SourceTable

WHOLE = PipelineFound(
    table=SourceTable("public.orders", "full", probe=True),
    slot="shop",
    connector="shop",
    topic="shop.orders",
    group="shop-writer",
    append_time=True,
    taps=("topic:copy",),
    platform="none",
    sections=frozenset(("source", "kafka", "registry", "connect")),
)


def told(found: PipelineFound, what: str) -> Coverage:
    (one,) = [one for one in coverage(found) if what in one.what]
    return one


def test_a_whole_pipeline_is_covered_in_everything() -> None:
    assert all(one.covered for one in coverage(WHOLE))


@pytest.mark.parametrize(
    ("changed", "what", "why"),
    [
        ({"sections": frozenset(("source",))}, "at the topic", "no [kafka]"),
        ({"source": "mariadb"}, "commit latency", "whole seconds"),
        ({"source": "mariadb"}, "capture latency", "whole seconds"),
        ({"source": "mariadb", "slot": ""}, "slot lag", "MariaDB has no slots"),
        ({"sections": frozenset(("source",))}, "capture latency", "no [kafka]"),
        ({"append_time": False}, "capture latency", "LogAppendTime"),
        ({"taps": ()}, "at the sink", "add a [[tap]]"),
        ({"taps": ("postgres:public.copy",)}, "order at the sink", "not each change"),
        ({"slot": ""}, "slot lag", "[capture] slot"),
        ({"group": ""}, "consumer lag", "[platform] group"),
        ({"sections": frozenset(("kafka",))}, "commit latency", "no [source]"),
        (
            {"table": SourceTable("public.orders", "default", probe=True)},
            "deletes",
            "ALTER TABLE public.orders REPLICA IDENTITY FULL",
        ),
        ({"table": SourceTable("public.orders", "full", probe=False)}, "probe", "add one"),
        ({"absent": frozenset(("topic",))}, "at the topic", "its topic is not there"),
        ({"absent": frozenset(("slot",))}, "slot lag", "its slot is not there"),
    ],
)
def test_what_is_not_covered_says_why(changed: dict[str, object], what: str, why: str) -> None:
    found = told(replace(WHOLE, **changed), what)  # type: ignore[arg-type]

    assert not found.covered
    assert why in found.why


def test_without_a_connector_its_state_is_unknown() -> None:
    found = replace(WHOLE, connector="", sections=frozenset(("source", "kafka")))

    assert not told(found, "connector's state").covered


def test_the_worst_trouble_is_the_exit_code() -> None:
    wrong, silent = PartTrouble("wrong"), PartTrouble("silent", 3)
    parts = [PartFound("a", "h:1"), PartFound("b", "h:2", troubles=[wrong])]

    assert WHOLE.exit_code == 0
    assert replace(WHOLE, parts=parts).exit_code == 2
    assert replace(WHOLE, parts=[*parts, PartFound("c", "h:3", troubles=[silent])]).exit_code == 3
