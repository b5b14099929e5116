"""A fault as the steward does it: with the objects that it was done to, so that the journal alone
suffices to undo it.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cdc_users.pipeline.provision.cleanup.journal import Journal
from cdc_users.pipeline.provision.limit import within
from infra.faults.fault import (
    FaultGround,
    FaultObjects,
    faults,
    heal,
    inject,
    prepare,
    restore,
)
from infra.faults.relay import Relay
from infra.stack import one_server
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.find.locate import supervised
from infra.stack.servers.probe import await_answer, probes
from infra.stack.supervise.state import state_of

#: The kind of a fault's entry in the journal.
FAULT = "fault"
#: The limit for undoing a fault, in which a server may have to start.
UNDO_S = 120.0
#: The limit for the answers of the other servers, which may have lost the one that stood still.
ANSWER_S = 20.0


class AfflictionText(msgspec.Struct, frozen=True):
    """A fault in the journal: its name, and the objects that it was done to; or only that servers
    were prepared for it.
    """

    fault: str
    objects: FaultObjects
    prepared: bool = False


@dataclass(slots=True)
class Affliction:
    """A fault with the objects that it is done to."""

    fault: str
    objects: FaultObjects
    prepared: bool = False
    relays: Mapping[str, Relay] = field(default_factory=dict, repr=False)
    _ground: FaultGround | None = field(default=None, repr=False)

    def as_text(self) -> str:
        """The fault as the journal's text."""
        return msgspec.json.encode(AfflictionText(self.fault, self.objects, self.prepared)).decode(
            "utf-8"
        )

    @classmethod
    def of_text(cls, text: str) -> Affliction:
        """Read what `as_text` made."""
        found = msgspec.json.decode(text, type=AfflictionText)
        return cls(found.fault, found.objects, found.prepared)

    def inject(self, endpoints: Endpoints) -> None:
        """Do it, or prepare servers for it."""
        deed = prepare if self.prepared else inject
        deed(self.fault, self._ground_on(endpoints))

    def await_ready(self, endpoints: Endpoints) -> None:
        """Return when the fault can be done that servers were prepared for."""
        faults().by_name[self.fault].await_ready(self._ground_on(endpoints))

    def heal(self, endpoints: Endpoints) -> None:
        """Undo the fault, or the preparation, also one that another process did."""
        deed = restore if self.prepared else heal
        deed(self.fault, self._ground_on(endpoints))

    def _ground_on(self, endpoints: Endpoints) -> FaultGround:
        if self._ground is None:
            state = state_of()
            self._ground = FaultGround(
                endpoints,
                self.objects,
                functools.partial(one_server.act, state, endpoints),
                directory=functools.partial(one_server.directory, state),
                relays=self.relays,
            )
        return self._ground


def undo(endpoints: Endpoints, text: str) -> None:
    """Undo the fault in a journal's text; a fault that this version does not know is left alone."""
    affliction = Affliction.of_text(text)
    if affliction.fault in faults().by_name:
        affliction.heal(endpoints)


def undo_faults(journal: Journal, endpoints: Endpoints) -> Sequence[str]:
    """Undo the faults in a journal, the last one first; returns those that could not be undone.

    Servers that depend on one that stood still may need some seconds more than that one: Kafka has
    its broker back before the schema registry can write to it. They are waited for, but it is no
    problem of the faults if they do not answer.
    """
    problems = []
    undone = False
    for entry in reversed([entry for entry in journal.entries() if entry.kind == FAULT]):
        try:
            if supervised(endpoints):
                within(UNDO_S, "undoing a fault", lambda: undo(endpoints, entry.name))  # noqa: B023
                undone = True
            journal.gone(entry)
        except Exception as error:  # noqa: BLE001 - whatever a server or its client raises
            problems.append(f"{entry.name}: {str(error).strip() or type(error).__name__}")
    if undone and (endpoints.kind != "external" or endpoints.commands):
        _await_servers(endpoints)
    return problems


def _await_servers(endpoints: Endpoints) -> None:
    deadline_s = time.monotonic() + ANSWER_S
    for name, probe in probes(endpoints).items():
        if probe.place:
            with contextlib.suppress(StackError):
                await_answer(name, probe, deadline_s)
