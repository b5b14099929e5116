"""One fault as data: its effect, its needs, what a pipeline may do meanwhile, and how it is undone.

A fault is a value of a module in `infra/faults/catalogue`, or an installed distribution's entry
point in the group `locust_cdc.faults`. Everything else follows from its record: the names for
`--faults`, the pipelines that it can be done to, the thresholds of its step, and the catalogue in
docs/faults.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

import msgspec

from infra.faults.relay import Relay
from infra.plugin import Offer, offered
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError

FAULT_GROUP = "locust_cdc.faults"
#: Processes of the run.
PROCESSES = ("platform", "reader")
#: The webhook receiver, which belongs to the run but is no process of the system under test.
WEBHOOK = "webhook"
#: The name, in a fault's explanations, of a topic that deleted records too early.
RETENTION = "the topic's retention"
#: The connections that a relay may stand in, by a fault's need: Kafka Connect to the source's
#: server; the platform to the sink's; the platform or the direct reader to Kafka; Kafka Connect and
#: the platform to the schema registry.
RELAYED = {
    "relay": "source",
    "sink relay": "sink",
    "kafka relay": "kafka",
    "registry relay": "registry",
}
#: How long the last of a fault's repeated deeds may take to end.
END_S = 15.0
#: For a fault after which all sent events may come again.
ALL_AGAIN = math.inf


class FaultObjects(msgspec.Struct, frozen=True):
    """The run's own objects that a fault may be done to; empty fields for those that do not
    exist.
    """

    schema: str = ""
    tables: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    slot: str = ""
    publication: str = ""
    connector: str = ""
    tuning: str = "latency"
    sink_table: str = ""
    group: str = ""
    warehouse: str = ""


class ServerActions(Protocol):
    """Acts on one server of the stack, or on one process of the run, by its name."""

    def __call__(self, action: str, name: str, /) -> None:
        """Kill, terminate, restart, pause or resume it; returns when that is done."""


def _no_webhook(how: str) -> None:
    raise StackError(f"there is no webhook receiver of the run's own that could answer {how!r}")


def _no_directory(server: str) -> Path:
    raise StackError(f"the directory of {server} is not known here")


@dataclass(slots=True)
class FaultGround:
    """Where a fault is done: the servers, the run's objects, and the actions on processes.

    `inject` enters resources that must stay open meanwhile into `held`, which is closed before
    `heal`, and ends with this process.
    """

    endpoints: Endpoints
    objects: FaultObjects
    act: ServerActions
    #: Makes the webhook receiver answer in some way (cdc_users/observe/taps/answer.py).
    answer_as: Callable[[str], None] = _no_webhook
    #: The directory of a server of this checkout's process stack, by the server's name.
    directory: Callable[[str], Path] = _no_directory
    #: The relays before servers, by place (RELAYED). A relay and its trouble end with the run that
    #: had it.
    relays: Mapping[str, Relay] = field(default_factory=dict)
    held: ExitStack = field(default_factory=ExitStack)

    def keep_on(self, deed: Callable[[Event], None], every_s: float) -> None:
        """Repeat a deed in a thread until the fault is undone, or this process ends. The deed gets
        the event that is then set, so that it can cut its own waits short.
        """
        over = Event()

        def repeat() -> None:
            while not over.wait(every_s):
                deed(over)

        repeating = Thread(target=repeat, name="fault", daemon=True)
        repeating.start()
        self.held.callback(repeating.join, END_S)
        self.held.callback(over.set)


#: Does or undoes a fault.
FaultDeed = Callable[[FaultGround], None]


def _nothing(ground: FaultGround) -> None:
    """Do nothing: there is nothing to undo."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    `does` and `better` (how to reduce its effect) are sentences for people. `on` is its target: a
    server, a process of the run, or an object. `inject` does it. `heal` undoes it, whatever state
    it is in, and may be called twice. `prepare` changes servers before the run creates anything on
    them; `await_ready` returns when they are ready, which may need the load; `restore` undoes the
    preparation as `heal` does. None of these three knows the run's objects. A fault that does not
    `hold` is over at once. `without` names a process of the run that is stopped before the fault
    and started again afterwards. `needs` are names of Need. `repeats_s` is how many seconds of load
    may come again because of it; `allows` are further thresholds of its step. `explains` are
    patterns (re) for the beginnings of sentences about its consequences: which server restarted,
    what was altered. With `stops_writers` the source takes no writes meanwhile, so arrivals may
    fail. Nothing can repair what a `lasting` fault leaves, so the next step gets another pipeline.
    One that `empties` removes rows of the source table without a delete of each.
    """

    name: str
    does: str
    on: str
    inject: FaultDeed
    heal: FaultDeed = _nothing
    prepare: FaultDeed | None = None
    await_ready: FaultDeed = _nothing
    restore: FaultDeed = _nothing
    holds: bool = True
    without: str = ""
    needs: tuple[str, ...] = ()
    repeats_s: float = 0.0
    allows: tuple[str, ...] = ("recovered < 60s", "lost == 0")
    explains: tuple[str, ...] = ()
    stops_writers: bool = False
    lasting: bool = False
    empties: bool = False
    better: str = ""

    @property
    def of_the_run(self) -> bool:
        """Whether its target is a process that the run itself has started."""
        return self.on in (*PROCESSES, WEBHOOK)


@functools.cache
def faults() -> Offer[Fault]:
    """Every fault by name."""
    return offered(
        "infra.faults.catalogue", Fault, FAULT_GROUP, lambda fault: (fault.on, fault.name)
    )


def has_standby(name: str) -> bool:
    """Whether a fault's preparation adds a standby, which the run's slots shall survive on."""
    return bool(name) and "standby" in faults().by_name[name].needs


def prepare(name: str, ground: FaultGround) -> None:
    """Change the servers as a fault needs them."""
    deed = faults().by_name[name].prepare
    if deed is not None:
        deed(ground)


def restore(name: str, ground: FaultGround) -> None:
    """Undo a fault's preparation, whatever state it is in; it may be undone already."""
    faults().by_name[name].restore(ground)


def inject(name: str, ground: FaultGround) -> None:
    """Do a fault."""
    faults().by_name[name].inject(ground)


def heal(name: str, ground: FaultGround) -> None:
    """Undo a fault, whatever state it is in; it may be undone already."""
    ground.held.close()
    faults().by_name[name].heal(ground)
