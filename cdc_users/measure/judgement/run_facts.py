"""The plain facts of a run and of its steps by which validity is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cdc_users.measure.judgement.backlog import ProgressSample


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One step.

    `planned` is the schedule's arrivals, the other counts what the processes reported of them.

    `samples` are the latencies that were recorded, of what completed and of what failed. `steady`
    says that the load was meant to be held. `send_delay_ms`, `loop_lag_ms` and `own_delay_ms` are
    summaries (p50, p95, p99, max); `processes` is how many have lanes.
    """

    name: str
    mode: str
    planned: int
    offered: int
    started: int
    completed: int
    failed: int
    dropped: int
    samples: int
    drained: bool = True
    steady: bool = True
    warm_up: bool = False
    #: Whether it asks if a rate holds: then a load that was too much is an answer.
    probe: bool = False
    send_delay_ms: dict[str, float | int | None] = field(default_factory=dict)
    loop_lag_ms: dict[str, float | int | None] = field(default_factory=dict)
    own_delay_ms: dict[str, float | int | None] = field(default_factory=dict)
    #: Whether the load needs about as many lanes as there are, when the system is as usual.
    lanes_short: bool = True
    cpu_cores: float | None = None
    processes: int = 1
    looks: Sequence[ProgressSample] = ()
    #: How long the load lasted, how long after it the last event came, and what was usual.
    loaded_s: float | None = None
    left_s: float | None = None
    end_to_end_p50_ms: float | None = None
    #: How far the clocks of other hosts may be off (-1: nobody knows), and the least latency.
    clock_bound_ms: float | None = None
    least_ms: float | None = None
    #: What share of the machine's processors others used, and by group of the run's processes the
    #: share of the time in which they wanted one and had none.
    others_share: float | None = None
    waited_share: Mapping[str, float] = field(default_factory=dict)
    #: How much earlier than our tap the platform claims its events.
    witness_early_ms: float | None = None


@dataclass(frozen=True, slots=True)
class HarnessFacts:
    """A run.

    `clock_step_ms` is by how much the wall clock left the monotonic one; `writers_twice` counts
    writer numbers that are not one lane's alone; `retention_lost` counts events that the topic no
    longer had when the consumer came to them; `restarts` names what ended and began again without
    being asked, `disturbed` says what somebody else did to the run's objects, `unreadable` what a
    tap could not read.
    """

    steps: Sequence[StepFacts] = ()
    stop_reason: str = ""
    fenced: bool = True
    workers_lost: int = 0
    workers: int = 0
    clock_step_ms: float = 0.0
    writers_twice: int = 0
    retention_lost: int = 0
    restarts: Sequence[str] = ()
    disturbed: Sequence[str] = ()
    unreadable: Sequence[str] = ()
