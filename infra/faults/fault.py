"""One fault as data: what it does, what it needs, what a pipeline may do meanwhile, how it is
undone.

A fault is a value of a module in `infra/faults/catalogue`, or an installed distribution's entry
point in the group `locust_cdc.faults`. All else follows from its record: what `--faults` may name,
which pipelines it can be done to, the thresholds of its step, the catalogue in docs/faults.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from infra.faults.relay import Relay
from infra.plugin import Offer, offered
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError

FAULT_GROUP = "locust_cdc.faults"
#: Processes of the run.
PROCESSES = ("platform", "reader")
#: What the run itself has, beside its processes: the receiver that a webhook sink posts to.
WEBHOOK = "webhook"
#: What a topic that has deleted records too early is called, in what a fault explains.
RETENTION = "the topic's retention"
#: What a relay may stand between, by what a fault needs for it: Kafka Connect and the source's
#: server; the platform and the sink's; the platform, or the direct reader, and Kafka.
RELAYED = {"relay": "source", "sink relay": "sink", "kafka relay": "kafka"}
#: Of a fault after which all that was sent may come again.
ALL_AGAIN = math.inf


class FaultObjects(msgspec.Struct, frozen=True):
    """The run's own objects that a fault may be done to; empty where there is no such thing."""

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


@dataclass(slots=True)
class FaultGround:
    """Where a fault is done: the servers, the run's objects, and what acts on processes.

    What `inject` opens and must stay open meanwhile it enters into `held`, which is closed before
    `heal`, and dies with this process.
    """

    endpoints: Endpoints
    objects: FaultObjects
    act: ServerActions
    #: Has the webhook receiver answer in a way (cdc_users/observe/taps/answer.py).
    answer_as: Callable[[str], None] = _no_webhook
    #: What stands before a server for the run's sake, by place (RELAYED). It ends with the run that
    #: had it, and so does its trouble.
    relays: Mapping[str, Relay] = field(default_factory=dict)
    held: ExitStack = field(default_factory=ExitStack)


#: Does or undoes a fault.
FaultDeed = Callable[[FaultGround], None]


def _nothing(ground: FaultGround) -> None:
    """Nothing is left to undo."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    `does` and `better` (what makes its effect smaller) are sentences for people. `on` is what it
    is done to: a server, a process of the run, or an object. `inject` does it; `heal` undoes it,
    whatever has become of it, and may be called twice. One that does not `hold` is over at once.
    It is done `without` a process of the run, which is ended before and started again afterwards.
    `needs` are names of Need. `repeats_s` is how many seconds of load may come again because of
    it; `allows` are thresholds of its step beside. `explains` are patterns (re) of how what is
    seen of it afterwards begins: which server began again, what was altered. With
    `stops_writers` the source does not take writes meanwhile, so arrivals may fail. What a
    `lasting` one leaves behind nobody can mend, so the next step gets another pipeline.
    """

    name: str
    does: str
    on: str
    inject: FaultDeed
    heal: FaultDeed = _nothing
    holds: bool = True
    without: str = ""
    needs: tuple[str, ...] = ()
    repeats_s: float = 0.0
    allows: tuple[str, ...] = ("recovered < 60s", "lost == 0")
    explains: tuple[str, ...] = ()
    stops_writers: bool = False
    lasting: bool = False
    better: str = ""

    @property
    def of_the_run(self) -> bool:
        """Whether it is done to what the run itself has started."""
        return self.on in (*PROCESSES, WEBHOOK)


@functools.cache
def faults() -> Offer[Fault]:
    """Every fault by name."""
    return offered(
        "infra.faults.catalogue", Fault, FAULT_GROUP, lambda fault: (fault.on, fault.name)
    )


def inject(name: str, ground: FaultGround) -> None:
    """Do a fault."""
    faults().by_name[name].inject(ground)


def heal(name: str, ground: FaultGround) -> None:
    """Undo a fault, whatever has become of it; one that is undone already is fine."""
    ground.held.close()
    faults().by_name[name].heal(ground)
