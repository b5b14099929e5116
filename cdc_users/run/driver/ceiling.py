"""The generator's own limit: its lanes at work without a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from cdc_users.run.driver.load_driver import LoadDriver
from cdc_users.step.state import StepState
from cdc_users.users.target import NullTarget
from infra.postgres.table import table_names

#: How long the lanes go as fast as they can.
CEILING_S = 3.0


@dataclass(slots=True, kw_only=True)
class CeilingDriver(LoadDriver):
    """Takes a step in the mode `null`: the lanes make every transaction and send none of them."""

    @override
    def _target(self) -> NullTarget:
        return NullTarget(tuple(table_names(self.run.workload.tables)))

    def take(self) -> None:
        """Let the lanes go, for a while."""
        if not self._lanes_come_up():
            return
        self.give_up = self._long_enough
        self._carry_load()
        self.state.drained = True
        self.state.ended_us = self.run.anchor.now_us()

    def _long_enough(self, state: StepState) -> str:
        lasted_s = (self.run.anchor.now_us() - state.t0_us) / 1e6
        return "long enough" if lasted_s > CEILING_S else ""
