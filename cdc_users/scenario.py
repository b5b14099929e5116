"""What a locustfile declares. Data only: nothing is registered and nothing is started here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol

from cdc_users.error import OptionsError
from cdc_users.measure.capacity.bottleneck import StageFigures
from cdc_users.measure.capacity.probe import BacklogSeries
from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.result import StepResult
from cdc_users.measure.judgement.search_summary import ComparisonSummary, SearchSummary
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.measure.schedule.plan import Schedule

StepMode = Literal["paced", "burst", "drain", "null"]


#: A value that the harness can tell the platform.
OwnValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class OwnOption:
    """An option that a sink, a transport or a scenario brings along.

    `name` is how Python knows it; the command line has it with dashes, and the environment in
    capitals behind CDC_. `read` turns its text into a value, and raises ValueError with the value
    and the remedy; `takes` says what it reads, unless `read` has an attribute that does. `unset` is
    its value where neither the user nor `default` gives one. An option of a sink or transport that
    has an `argument` is handed to the platform under that name, unless its value is None.
    """

    name: str
    help: str
    read: Callable[[str], OwnValue] = str
    default: str = ""
    unset: OwnValue = None
    takes: str = ""
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question asked of a pipeline: its name, the defaults of its options, and what must hold
    in the end.

    `defaults` are texts by option name, as they would stand on the command line; `thresholds` are
    written as for `--threshold` and hold for every step that is not a warm-up. With `scaling` the
    steps are compared with the first. `options` are the scenario's own, whose values are in
    `Options.own`.
    """

    name: str
    question: str
    defaults: Mapping[str, str] = field(default_factory=dict)
    thresholds: tuple[str, ...] = ()
    scaling: bool = False
    options: tuple[OwnOption, ...] = ()


#: Keys of a field's metadata: the platform's argument that the field becomes, and the function that
#: turns the field's value into the argument's.
ARGUMENT, AS_ARGUMENT = "argument", "as_argument"


def _passed_on(default: Any, argument: str, as_argument: Callable[[Any], Any] = str) -> Any:
    """A field of a pipeline that stands on the platform's command line."""
    return field(default=default, metadata={ARGUMENT: argument, AS_ARGUMENT: as_argument})


def _in_ms(seconds: float) -> int:
    return round(seconds * 1000)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What stands between source and sink; a step whose pipeline differs from its predecessor's
    gets a fresh topic.

    `source` says where rows go in: the database, or straight to the topic. `capture` and
    `transport` matter only with the database, `iceberg_commit_interval_s` only with the Iceberg
    sink.
    """

    source: str = "postgres"
    capture: str = "debezium"
    transport: str = "kafka"
    #: The address of the user's own service behind the transport; empty: an emulator is started.
    transport_endpoint: str = ""
    sink: str = _passed_on("counting", "sink")
    partitions: int = 1
    instances: int = 1
    batch_size: int = _passed_on(500, "batch-size", int)
    max_buffered_messages: int = _passed_on(10_000, "max-buffered-messages", int)
    sink_delay_s: float = _passed_on(0.0, "sink-delay-ms", _in_ms)
    iceberg_mode: str = _passed_on("append", "iceberg-mode")
    iceberg_commit_interval_s: float = _passed_on(1.0, "iceberg-commit-interval-ms", _in_ms)
    #: The user's own parts: a command line in place of the reference platform (empty: the
    #: reference; none: a platform that runs already), a connector, tables and their topics (both by
    #: comma).
    platform: str = ""
    topic: str = ""
    connector: str = ""
    table: str = ""
    #: For the user's own tables: the probe's column, whether to add it, whether to leave the rows.
    probe_column: str = "probe"
    add_probe: bool = False
    keep_rows: bool = False
    #: Where events come out of somebody else's platform, e.g. webhook:8080.
    sink_tap: str = ""
    #: Where that platform's messages hold the probe, if their form is not one that taps know.
    probe_path: str = ""
    #: Whether our tap watches the sink, so that it is seen even while its platform is down.
    watched: bool = False
    #: The servers that the run reaches through relays of its own (infra.faults.fault.RELAYED).
    relayed: tuple[str, ...] = ()
    #: Whether the sink's warehouse is on a disk that is small enough to be filled.
    small_disk: bool = False
    #: The fault that servers are prepared for, before anything is created on them.
    prepared_for: str = ""
    #: The consumer group of somebody else's platform, whose lag is shown.
    group: str = ""
    #: The options that its sink and its transport brought along, by name.
    own: tuple[tuple[str, OwnValue], ...] = ()

    def own_value(self, name: str) -> OwnValue:
        """The value of an option that the sink or the transport brought along; raises KeyError."""
        return dict(self.own)[name]


def listed(text: str) -> tuple[str, ...]:
    """The names in a text that has several by comma; none in an empty one."""
    return tuple(part for part in text.split(",") if part)


def own_arguments(options: Iterable[OwnOption], pipeline: Pipeline) -> dict[str, object]:
    """What the options of a sink or transport become on the platform's command line."""
    told = {option.argument: pipeline.own_value(option.name) for option in options}
    return {name: value for name, value in told.items() if name and value is not None}


def platform_arguments(pipeline: Pipeline) -> dict[str, object]:
    """What a pipeline's fields become on the platform's command line, by the argument's name.

    Arguments of every sink are among them; a sink's declaration says which of them it takes.
    """
    return {
        item.metadata[ARGUMENT]: item.metadata[AS_ARGUMENT](getattr(pipeline, item.name))
        for item in fields(pipeline)
        if ARGUMENT in item.metadata
    }


@dataclass(frozen=True, slots=True)
class StepMark:
    """A moment of a step that charts and timelines show: when it is due after the step's start,
    and its name.
    """

    offset_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """One measured stage of a run: a schedule of arrivals through one pipeline.

    In the mode `drain` the records wait in the topic before the platform starts; in the mode `null`
    the load goes nowhere and shows what the generator itself can do. A `warm_up` is run and shown,
    but not judged; a step that is not `steady` is expected to grow a backlog while its load lasts.
    A `probe` asks whether a rate holds: if it does not, that is an answer and not a failure.
    `lanes` is how many the step can use; a run keeps the same lanes up for all its steps (`level`).
    """

    name: str
    mode: StepMode
    schedule: Schedule
    pipeline: Pipeline
    lanes: int
    rows_per_arrival: int = 1
    warm_up: bool = False
    probe: bool = False
    steady: bool = True
    marks: tuple[StepMark, ...] = ()
    #: The fault that is done to the pipeline during the step.
    fault: PlannedFault | None = None
    #: Whether the step needs a rig of its own, because no other step could use it afterwards.
    alone: bool = False


@dataclass(frozen=True, slots=True)
class StepShown:
    """What a step that has ended showed: its figures, and whether its backlog was drained in time.

    The audit follows when all steps of a pipeline have ended, so the ledger is still empty.
    """

    step: Step
    result: StepResult
    drained: bool
    #: From its first arrival until it was drained.
    took_s: float = 0.0
    #: Events sent and delivered, looked at once a second under load, and the sink's latencies.
    looks: Sequence[ProgressSample] = ()
    recorder: Recorder = field(default_factory=Recorder)
    #: The backlog at each place of the pipeline.
    backlogs: Mapping[str, BacklogSeries] = field(default_factory=dict)
    #: How busy each stage was, and what piled up before it.
    stages: StageFigures | None = None
    #: Why the generator itself did not offer the load, and whether it had too few lanes for it.
    generator: Sequence[str] = ()
    crowded: Sequence[str] = ()
    #: Why the load was cut short; empty where it was not.
    cut: str = ""


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A step under load: events sent and delivered so far, and their latencies."""

    step: Step
    looks: Sequence[ProgressSample]
    recorder: Recorder


@dataclass(frozen=True, slots=True)
class CourseOutcome:
    """What all steps of a course together showed: why the system failed, why there is no answer,
    notes, and the answer (or several that are compared) as result.json holds it.
    """

    failed: Sequence[str] = ()
    invalid: Sequence[str] = ()
    notes: Sequence[str] = ()
    summary: SearchSummary | None = None
    comparison: ComparisonSummary | None = None


class Course(Protocol):
    """The steps of a run, decided one after another."""

    @property
    def planned(self) -> Sequence[Step]:
        """The steps that are certain from the start, in order; at least one.

        They use as many lanes as the first; later steps may use more.
        """

    @property
    def undecided_s(self) -> float:
        """The most that the undecided steps may take, in seconds; 0 where all are certain."""

    def next_step(self, shown: Sequence[StepShown]) -> Step | None:
        """The next step, after those that have ended; None where the run is complete."""

    def give_up(self, progress: StepProgress) -> str:
        """Why the load of a running step should be cut short; empty where it should go on."""

    def outcome(self, shown: Sequence[StepShown]) -> CourseOutcome:
        """What the steps that were taken showed together."""


@dataclass(frozen=True, slots=True)
class FixedCourse:
    """A list of steps that is fixed from the start."""

    planned: Sequence[Step]
    undecided_s: float = 0.0

    def next_step(self, shown: Sequence[StepShown]) -> Step | None:
        """The next one of the list."""
        return self.planned[len(shown)] if len(shown) < len(self.planned) else None

    def give_up(self, progress: StepProgress) -> str:  # noqa: ARG002 - every step is carried out
        """Never: every step is carried to its end."""
        return ""

    def outcome(self, shown: Sequence[StepShown]) -> CourseOutcome:  # noqa: ARG002 - each step is judged by itself
        """Nothing beyond the steps' own results."""
        return CourseOutcome()


def level(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps, each with the largest number of lanes that any of them can use: a run keeps its
    lanes up throughout, and all of them take part in every step.
    """
    steps = tuple(steps)
    lanes = max(step.lanes for step in steps)
    return tuple(replace(step, lanes=lanes) for step in steps)


def rig_key(number: int, step: Step) -> tuple[Pipeline, int]:
    """What tells one rig from the next.

    Steps of one pipeline share it, one after another; a drain starts with a platform of its own.
    """
    return step.pipeline, number if step.mode == "drain" or step.alone else 0


def checked(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, with equal names numbered and equal lanes; raises OptionsError where one of the
    user's topics would have to serve several rigs.
    """
    topic = next((step.pipeline.topic for step in steps if step.pipeline.topic), "")
    rigs = len(list(itertools.groupby(enumerate(steps, start=1), key=lambda item: rig_key(*item))))
    if topic and rigs > 1:
        raise OptionsError(
            [
                f"--topic {topic} serves one pipeline, and these options make {rigs}; each would"
                " read it from its beginning, with all that earlier ones have written. Name one"
                " sink, one number of partitions and so on (--sinks counting), or leave"
                " --topic out"
            ]
        )
    return level(_distinct(steps))


def _distinct(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Files, charts and thresholds know a step by its name, so the second step of a name gets `-2`
    behind it.
    """
    taken = {step.name for step in steps}
    numbers: dict[str, Iterator[int]] = {}
    found = []
    for step in steps:
        name = step.name
        if name in numbers:
            name = next(
                other for number in numbers[name] if (other := f"{name}-{number}") not in taken
            )
            taken.add(name)
        numbers.setdefault(step.name, itertools.count(2))
        found.append(replace(step, name=name))
    return tuple(found)
