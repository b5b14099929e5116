"""The form: what a request may not change."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.options.groups import NOT_IN_FORM
from cdc_users.options.ignored import idle_in
from cdc_users.options.options import BY_NAME
from cdc_users.view.web import form
from locustfiles.capacity import SearchShape
from locustfiles.latency import LatencyShape
from locustfiles.throughput import ThroughputShape
from locustfiles.wal import WalShape

pytestmark = pytest.mark.gevent
SHAPES: dict[str, Any] = {
    shape.__name__: shape for shape in (WalShape, LatencyShape, ThroughputShape)
}


def test_a_value_that_the_command_line_gave_may_come_back_from_the_form() -> None:
    assert form.forbidden({"platform": "reference"}, {"platform": "reference"}, frozenset()) == []
    assert form.forbidden({"platform": ""}, {"platform": None}, frozenset()) == []
    assert form.forbidden({"platform": "rm -rf /"}, {"platform": "reference"}, frozenset()) == [
        "--platform"
    ]


def test_the_page_is_told_what_each_scenario_reads_and_what_comes_first() -> None:
    told = form.description(SHAPES)

    assert told["preselected"] == "ThroughputShape"
    assert [scenario["name"] for scenario in told["scenarios"].values()] == [
        "latency",
        "throughput",
        "wal",
    ]
    for name, scenario in told["scenarios"].items():
        assert set(scenario["reads"]) == set(BY_NAME) - set(idle_in(SHAPES[name])) - set(
            NOT_IN_FORM
        )
        assert scenario["foremost"]
        assert set(scenario["foremost"]) <= set(scenario["reads"])


def test_yes_or_no_is_a_switch_and_several_words_are_boxes() -> None:
    fields = [field for group in form.description(SHAPES)["groups"] for field in group["fields"]]

    assert "smoke" in {field["name"] for field in fields if field["switch"]}
    assert {field["name"] for field in fields if field["several"]} == {"sinks"}


def test_a_search_says_that_more_follows_and_a_list_of_steps_does_not() -> None:
    search = form.plan(form.preview(SearchShape, {"budget": "5m"}))
    listed = form.plan(form.preview(ThroughputShape, {}))

    assert search["follows"] == "more probes until the answer is known, 5 minutes at most"
    assert listed["follows"] == ""


def test_a_field_is_called_as_its_flag_and_its_help_names_no_scenario() -> None:
    fields = [field for group in form.description(SHAPES)["groups"] for field in group["fields"]]
    said = {field["name"]: field for field in fields}

    assert said["from_"]["label"] == "From"
    assert said["batch_size"]["label"] == "Batch size"
    assert said["records"]["help"].startswith("Records in the topic before")
    assert not [field["help"] for field in fields if form.SCOPE.match(field["help"])]
