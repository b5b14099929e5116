"""Facts of a run and of its steps, from which its validity is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cdc_users.measure.judgement.backlog import ProgressSample


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One step.

    `planned` counts the schedule's arrivals; the other counts are what the processes reported.

    `samples` counts the latencies that were recorded, of completed and of failed arrivals. `steady`
    says that the load was meant to be held. `send_delay_ms`, `loop_lag_ms` and `own_delay_ms` are
    summaries (p50, p95, p99, max); `processes` is the number of processes with lanes.
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
    #: Whether the step asks if a rate holds: then an overload is an answer, not an invalid run.
    probe: bool = False
    send_delay_ms: dict[str, float | int | None] = field(default_factory=dict)
    loop_lag_ms: dict[str, float | int | None] = field(default_factory=dict)
    own_delay_ms: dict[str, float | int | None] = field(default_factory=dict)
    #: Whether the load needs about as many lanes as there are, at the usual service time.
    lanes_short: bool = True
    cpu_cores: float | None = None
    processes: int = 1
    looks: Sequence[ProgressSample] = ()
    #: How long the load lasted, how long after its end the last event came, and the usual latency.
    loaded_s: float | None = None
    left_s: float | None = None
    end_to_end_p50_ms: float | None = None
    #: How far the clocks of other hosts may be off (-1: not known), and the least latency.
    clock_bound_ms: float | None = None
    least_ms: float | None = None
    #: The share of the machine's processors that other processes used; and for each group of the
    #: run's processes, the share of the time in which they wanted a processor and had none.
    others_share: float | None = None
    waited_share: Mapping[str, float] = field(default_factory=dict)
    #: How much earlier than our tap the platform claims to have its events.
    witness_early_ms: float | None = None


@dataclass(frozen=True, slots=True)
class HarnessFacts:
    """A run.

    `clock_step_ms` is by how much the wall clock left the monotonic one; `writers_twice` counts
    writer numbers that more than one lane used; `retention_lost` counts events that the topic had
    deleted before the consumer read them; `restarts` names processes that restarted without being
    asked; `disturbed` says what somebody else did to the run's objects; `unreadable` says what a
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
