"""Which servers a pipeline needs: known before any is asked."""

from __future__ import annotations

import pytest

from cdc_users.pipeline.provision.allow_list import ENDPOINT, missing_parts
from cdc_users.scenario import Pipeline
from infra.stack.endpoints import Endpoints

WHOLE = {
    "source": "host=127.0.0.1",
    "kafka": "127.0.0.1:9092",
    "registry": "http://127.0.0.1:8081",
    "connect": "http://127.0.0.1:8083",
}
DEBEZIUM = Pipeline()
STRAIGHT = Pipeline(source="topic")
KINESIS = Pipeline(capture="wal", transport="kinesis")


def endpoints(*sections: str) -> Endpoints:
    return Endpoints("external", **{ENDPOINT[name]: WHOLE[name] for name in sections})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pipeline", "needed"),
    [
        (DEBEZIUM, {"source", "kafka", "registry", "connect"}),
        (STRAIGHT, {"kafka", "registry"}),
        (KINESIS, {"source"}),
    ],
)
def test_a_pipeline_needs_these_servers_and_no_others(pipeline: Pipeline, needed: set[str]) -> None:
    assert missing_parts(endpoints(*needed), [pipeline]) == []
    for name in needed:
        (told,) = missing_parts(endpoints(*(needed - {name})), [pipeline])
        assert f"the pipeline has no [{name}]" in told


def test_what_several_pipelines_lack_is_told_once() -> None:
    assert len(missing_parts(endpoints(), [DEBEZIUM, STRAIGHT, KINESIS])) == 4
