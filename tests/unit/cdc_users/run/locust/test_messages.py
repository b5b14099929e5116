"""A master listens only to processes that it has greeted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from locust.runners import MasterRunner

from cdc_users.run.locust.messages import Gate

pytestmark = pytest.mark.gevent


class Runner:
    """What the gate needs of a master."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.told: list[tuple[str, str]] = []
        self.server = SimpleNamespace(
            send_to_client=lambda message: self.told.append((message.node_id, message.type))
        )

    def handle_message(self, client_id: str, msg: Any) -> None:
        self.heard.append((client_id, msg.type))


def test_a_stranger_is_told_to_quit_and_counted_once() -> None:
    runner = Runner()
    gate = Gate(cast(MasterRunner, runner))

    for kind in ("client_ready", "heartbeat", "stats"):
        gate.handle("own", cast(Any, SimpleNamespace(type=kind)))
    for kind in ("heartbeat", "stats", "cdc_report"):
        gate.handle("orphan", cast(Any, SimpleNamespace(type=kind)))

    assert runner.heard == [("own", "client_ready"), ("own", "heartbeat"), ("own", "stats")]
    assert set(runner.told) == {("orphan", "quit")}
    assert gate.refused == {"orphan"}
