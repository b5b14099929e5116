"""Every fault that is declared says all that a run and its catalogue need."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from cdc_users.measure.judgement.threshold import parse_threshold
from cdc_users.options.fault_names import NEEDS
from infra.faults.fault import (
    PROCESSES,
    Fault,
    FaultGround,
    FaultObjects,
    faults,
    heal,
    inject,
)
from infra.stack.endpoints import Endpoints
from infra.stack.one_server import SERVERS

EVERY = list(faults().by_name.values())
NOWHERE = Endpoints("external", "", "", "", "")


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.name)
def test_a_fault_says_what_it_does_and_what_makes_it_better(fault: Fault) -> None:
    assert fault.does.endswith(".")
    assert fault.better
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", fault.name)


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.name)
def test_what_a_fault_needs_is_known(fault: Fault) -> None:
    assert set(fault.needs) <= set(NEEDS)


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.name)
def test_what_a_fault_allows_can_be_judged_and_is_never_a_loss(fault: Fault) -> None:
    allowed = [parse_threshold(text) for text in fault.allows]

    assert [item for item in allowed if item.metric.path == ("ledger", "lost")]
    assert all(item.holds(0) for item in allowed if item.metric.path == ("ledger", "lost"))
    assert not any(item.holds(1) for item in allowed if item.metric.path == ("ledger", "lost"))


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.name)
def test_what_explains_is_a_pattern(fault: Fault) -> None:
    for pattern in fault.explains:
        re.compile(pattern)


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.name)
def test_a_process_that_a_fault_is_done_without_is_one_that_the_run_has_to_itself(
    fault: Fault,
) -> None:
    assert fault.without in ("", *PROCESSES)
    if fault.without == "platform":
        assert "one platform" in fault.needs


class Acted:
    """Notes what was done to which process."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def __call__(self, action: str, name: str, /) -> None:
        self.done.append((action, name))


@pytest.mark.parametrize(
    "fault",
    [
        item
        for item in EVERY
        if item.on in (*SERVERS, *PROCESSES) and item.name != "kill-platform-at-commit"
    ],
    ids=lambda item: item.name,
)
def test_a_process_that_is_killed_is_started_and_one_that_is_stopped_goes_on(fault: Fault) -> None:
    acted = Acted()
    ground = FaultGround(NOWHERE, FaultObjects(), acted)

    inject(fault.name, ground)
    heal(fault.name, ground)

    undone = {"kill": "restart", "terminate": "restart", "pause": "resume"}
    (first, second) = acted.done
    assert first[1] == second[1] == fault.on
    assert undone[first[0]] == second[0]


def test_one_that_explains_kafka_does_not_explain_kafka_connect() -> None:
    patterns = faults().by_name["kill-kafka"].explains

    assert any(re.search(pattern, "Kafka") for pattern in patterns)
    assert not any(re.search(pattern, "Kafka Connect") for pattern in patterns)


def test_what_is_held_open_is_closed_before_the_healing() -> None:
    class Held:
        open = True

        def close(self) -> None:
            self.open = False

    held, seen = Held(), []
    ground = FaultGround(NOWHERE, FaultObjects(), lambda *_: seen.append(held.open))
    ground.held.enter_context(closing(held))

    heal("kill-connect", ground)

    assert seen == [False]
