"""Does the faults of one run: each is noted in the run's journal before, so it is undone whatever
happens to the run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc_users.pipeline.provision.allow_list import fault_mistakes
from cdc_users.pipeline.provision.cleanup.affliction import FAULT, Affliction
from cdc_users.pipeline.provision.cleanup.journal import Entry, Journal
from cdc_users.pipeline.provision.message import InjectFault
from infra.faults.fault import FaultObjects
from infra.faults.relay import Relay
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError


@dataclass(slots=True)
class RunFaults:
    """The fault in effect, if there is one, and what servers were prepared for."""

    checkout: Path
    journal: Journal
    relays: Mapping[str, Relay]
    _prepared: Affliction | None = None
    _affliction: Affliction | None = None

    def prepare(self, fault: str, endpoints: Endpoints) -> None:
        """Change the servers as a fault needs them; undone with the pipeline's objects."""
        self._refuse(fault, ())
        self._prepared = Affliction(fault, FaultObjects(), prepared=True)
        self._do(self._prepared, endpoints)

    def await_ready(self, endpoints: Endpoints) -> None:
        """Return when the fault can be done that the servers were prepared for."""
        if self._prepared is not None:
            self._prepared.await_ready(endpoints)

    def inject(self, request: InjectFault, endpoints: Endpoints) -> None:
        """Do a fault."""
        self._refuse(request.fault, request.allowed)
        self._affliction = Affliction(request.fault, request.objects, relays=self.relays)
        self._do(self._affliction, endpoints)

    def heal(self, endpoints: Endpoints) -> None:
        """Undo the last fault, if there is one."""
        done, self._affliction = self._affliction, None
        if done is not None:
            done.heal(endpoints)
            self.journal.gone(Entry(FAULT, done.as_text()))

    def _refuse(self, fault: str, allowed: Sequence[str]) -> None:
        if refused := fault_mistakes(self.checkout, os.environ, [fault], allowed):
            raise StackConfigError("; ".join(refused))

    def _do(self, affliction: Affliction, endpoints: Endpoints) -> None:
        self.journal.add(FAULT, affliction.as_text())
        affliction.inject(endpoints)
