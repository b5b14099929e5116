"""What a pipeline is put together from says what its processes may ask."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_users.pipeline.declaration import asks_aws, transports
from cdc_users.scenario import Pipeline
from infra import plugin


class Installed:
    """An installation's entry points: their groups."""

    def __init__(self, *groups: str) -> None:
        self.groups = set(groups)


def offering(monkeypatch: pytest.MonkeyPatch, *groups: str) -> None:
    transports()  # is looked up once, in what is really installed
    monkeypatch.setattr(plugin, "entry_points", lambda: Installed(*groups))


def test_one_transport_asks_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, "console_scripts", "pytest11")

    asking = [
        name for name in transports().by_name if asks_aws(replace(Pipeline(), transport=name))
    ]

    assert asking == ["kinesis"]


def test_what_a_plugin_of_somebody_elses_asks_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, "locust_cdc.sinks")

    assert asks_aws(Pipeline())
