"""A fault as the steward does it: with what it was done to, so that it can be undone from the
journal alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cdc_users.pipeline.provision.cleanup.journal import Journal
from cdc_users.pipeline.provision.limit import within
from infra.faults.fault import FaultGround, FaultObjects, faults, heal, inject
from infra.faults.relay import Relay
from infra.stack import one_server
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import supervised
from infra.stack.supervise.state import state_of

#: What a fault is called in the journal.
FAULT = "fault"
#: A server that is started again has this long.
UNDO_S = 120.0


class AfflictionText(msgspec.Struct, frozen=True):
    """A fault in the journal: its name, and what it was done to."""

    fault: str
    objects: FaultObjects


@dataclass(slots=True)
class Affliction:
    """A fault that is done."""

    fault: str
    objects: FaultObjects
    relays: Mapping[str, Relay] = field(default_factory=dict, repr=False)
    _ground: FaultGround | None = field(default=None, repr=False)

    def as_text(self) -> str:
        """What the journal keeps of it."""
        return msgspec.json.encode(AfflictionText(self.fault, self.objects)).decode("utf-8")

    @classmethod
    def of_text(cls, text: str) -> Affliction:
        """Read what `as_text` made."""
        found = msgspec.json.decode(text, type=AfflictionText)
        return cls(found.fault, found.objects)

    def inject(self, endpoints: Endpoints) -> None:
        """Do it."""
        inject(self.fault, self._ground_on(endpoints))

    def heal(self, endpoints: Endpoints) -> None:
        """Undo it; also one that another process has done."""
        heal(self.fault, self._ground_on(endpoints))

    def _ground_on(self, endpoints: Endpoints) -> FaultGround:
        if self._ground is None:
            act = functools.partial(one_server.act, state_of(), endpoints)
            self._ground = FaultGround(endpoints, self.objects, act, relays=self.relays)
        return self._ground


def undo(endpoints: Endpoints, text: str) -> None:
    """Undo what a journal names; a fault that this version does not know is left alone."""
    affliction = Affliction.of_text(text)
    if affliction.fault in faults().by_name:
        affliction.heal(endpoints)


def undo_faults(journal: Journal, endpoints: Endpoints) -> Sequence[str]:
    """Undo the faults in a journal, last done first; returns what could not be undone."""
    problems = []
    for entry in reversed([entry for entry in journal.entries() if entry.kind == FAULT]):
        try:
            if supervised(endpoints):
                within(UNDO_S, "undoing a fault", lambda: undo(endpoints, entry.name))  # noqa: B023
            journal.gone(entry)
        except Exception as error:  # noqa: BLE001 - whatever a server or its client raises
            problems.append(f"{entry.name}: {str(error).strip() or type(error).__name__}")
    return problems
