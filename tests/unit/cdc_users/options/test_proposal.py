"""Proposals: an option is heeded or refused, and every command of the documentation is a run that
could start.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import PlanError
from cdc_users.options.conflict import capacity, load, own, pipeline, rows
from cdc_users.options.fault_load import share_has_a_capacity
from cdc_users.options.ignored import idle_in
from cdc_users.options.options import BY_NAME, OPTIONS, Options, workload_of
from cdc_users.options.proposal import Proposal, propose
from cdc_users.options.table.record import KINDS, flag_of
from cdc_users.pipeline import declaration
from cdc_users.scenario import Step
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.course import CapacityCourse
from locustfiles.backpressure import SlowSinkShape
from locustfiles.capacity import SearchShape
from locustfiles.faults import FaultsShape
from locustfiles.latency import LatencyShape
from locustfiles.partitions import ScalingShape
from locustfiles.throughput import ThroughputShape
from locustfiles.wal import WalShape

pytestmark = pytest.mark.gevent

ROOT = Path(__file__).resolve().parents[4]
SHAPES: dict[str, type[ScenarioShape]] = {
    "throughput": ThroughputShape,
    "latency": LatencyShape,
    "backpressure": SlowSinkShape,
    "partitions": ScalingShape,
    "wal": WalShape,
    "capacity": SearchShape,
    "faults": FaultsShape,
}
PACED = {"rate": "50", "duration": "2s"}
#: What the run, the page or the terminal reads, whatever the scenario.
OF_THE_RUN = {
    *(
        "late",
        "drain_timeout",
        "threshold",
        "tuning",
        "smoke",
        "results",
        "allow_target",
        "allow_fault",
        "quiet",
        "metrics_port",
    ),
    *("allow_web_host", "web_names", "debezium_headers", "evolve_at", "seed"),
}
#: A value that is not the default, and what must be beside it for it to mean something.
SAMPLES: dict[str, dict[str, str]] = {
    "rows": {"rows": "7"},
    "rate": PACED,
    "duration": PACED,
    "stages": {"stages": "5/s:1s"},
    "warm_up": {"warm_up": "3s", **PACED},
    "arrival": {"arrival": "poisson", **PACED},
    "lanes": {"lanes": "3"},
    "rows_per_transaction": {"rows_per_transaction": "5"},
    "insert_method": {"insert_method": "copy"},
    "row_bytes": {"row_bytes": "9"},
    "mix": {"mix": "insert=9,update=1"},
    "key_skew": {"key_skew": "zipf:1.5", "mix": "insert=9,update=1"},
    "live_keys": {"live_keys": "9", "mix": "insert=9,update=1"},
    "tables": {"tables": "2"},
    "sink_delay": {"sink_delay": "7ms", "sink": "slow", "sinks": "slow"},
    "batch_size": {"batch_size": "77"},
    "max_buffered_messages": {"max_buffered_messages": "5000"},
    "partitions": {"partitions": "3"},
    "instances": {"instances": "2", "partitions": "3"},
    "records": {"records": "70"},
    "sink": {"sink": "webhook"},
    "sinks": {"sinks": "webhook"},
    "overload": {"overload": "4"},
    "fill": {"fill": "1s"},
    "hold": {"hold": "1s"},
    "repeat": {"repeat": "2"},
    "faults": {"faults": "pause-kafka"},
    "rounds": {"rounds": "2"},
    "at": {"at": "50%", "capacity": "2000"},
    "capacity": {"at": "50%", "capacity": "4000"},
    "steady": {"steady": "7s"},
    "recover": {"recover": "7s"},
    "slo": {"slo": "end_to_end.p99 < 2s"},
    "from_": {"from_": "300"},
    "most": {"most": "5000"},
    "probe": {"probe": "9s"},
    "confirm": {"confirm": "50s"},
    "precision": {"precision": "5%"},
    "budget": {"budget": "30m"},
    "outage": {"outage": "20s"},
    "disk": {"disk": "20GB"},
}


def made(scenario: str, **given: str) -> Proposal:
    shape: Any = SHAPES[scenario]
    return propose(shape, given)


def mistakes(scenario: str, **given: str) -> list[str]:
    with pytest.raises(OptionsError) as caught:
        made(scenario, **given)
    return list(caught.value.mistakes)


def effect(scenario: str, given: dict[str, str]) -> Any:
    """What options come to: steps and workload, or, as text, why they are refused."""
    try:
        proposal = made(scenario, **given)
    except OptionsError as error:
        return str(error)
    course = proposal.course
    searched: object = None
    if isinstance(course, CapacityCourse):
        chosen = course.options
        searched = (course.plan(()), chosen.slo, chosen.outage, chosen.disk)
    return proposal.steps, workload_of(proposal.options), searched


@pytest.mark.parametrize("scenario", SHAPES)
@pytest.mark.parametrize("name", SAMPLES)
def test_an_option_changes_the_run_or_is_refused(scenario: str, name: str) -> None:
    """GIVEN an option, with what it needs beside it where this scenario reads that THEN it is not
    ignored.
    """
    idle = idle_in(SHAPES[scenario])
    given = {
        other: text for other, text in SAMPLES[name].items() if other == name or other not in idle
    }
    without = {
        other: text
        for other, text in given.items()
        if other != name and name not in ("rate", "duration")
    }
    changed = effect(scenario, given)

    # Refused may also be what the option needs beside it.
    assert (
        any(flag_of(other) in changed for other in given)
        if isinstance(changed, str)
        else changed != effect(scenario, without)
    )


@pytest.mark.parametrize(
    ("scenario", "given", "told"),
    [
        ("latency", {"rows": "100"}, "--rows does nothing in latency; use --records"),
        (
            "latency",
            {"stages": "5/s:1s"},
            "--stages does nothing in latency; use --rate and --duration",
        ),
        ("latency", {"sink": "postgres"}, "--sink does nothing in latency; use --sinks"),
        ("latency", {"warm_up": "1s"}, "--warm-up needs --rate and --duration"),
        ("latency", {"late": "drop"}, "--late needs --rate and --duration"),
        ("latency", {"arrival": "poisson"}, "--arrival needs --rate and --duration"),
        ("latency", {"records": "9", **PACED}, "--records does nothing beside --rate"),
        ("backpressure", {"rate": "5"}, "--rate does nothing in backpressure; use --overload"),
        (
            "backpressure",
            {"rows": "x"},
            "--rows does nothing in backpressure; use --fill and --hold",
        ),
        ("backpressure", {"arrival": "poisson"}, "--arrival does nothing in backpressure"),
        ("backpressure", {"mode": "paced"}, "--mode does nothing in backpressure"),
        (
            "backpressure",
            {"rows_per_transaction": "5"},
            "--rows-per-transaction does nothing in backpressure",
        ),
        ("partitions", {"rate": "5"}, "--rate does nothing in partitions"),
        ("partitions", {"rows": "5"}, "--rows does nothing in partitions"),
        (
            "partitions",
            {"rows_per_transaction": "5"},
            "--rows-per-transaction does nothing in partitions",
        ),
        ("partitions", {"sink": "slow"}, "--sink does nothing in partitions; use --sinks"),
        ("throughput", {"records": "5"}, "--records does nothing in throughput; use --rows"),
        ("throughput", {"sinks": "webhook"}, "--sinks does nothing in throughput; use --sink"),
        ("throughput", {"mode": "paced"}, "--mode does nothing in throughput"),
        ("throughput", {"rows": "10", "warm_up": "1s"}, "--warm-up needs --rate and --duration"),
        ("throughput", {"rows": "10", "late": "drop"}, "--late needs --rate and --duration"),
        (
            "throughput",
            {"rows": "10", "arrival": "poisson"},
            "--arrival needs --rate and --duration",
        ),
        ("throughput", {"sink_delay": "9ms"}, "--sink-delay does nothing without the sink slow"),
        (
            "throughput",
            {"iceberg_mode": "upsert"},
            "--iceberg-mode does nothing without the sink iceberg",
        ),
        ("wal", {"batch_size": "9"}, "--batch-size does nothing with --capture wal"),
        ("wal", {"tuning": "throughput"}, "--tuning does nothing with --capture wal"),
    ],
)
def test_what_would_be_ignored_is_refused_once_and_with_the_remedy(
    scenario: str, given: dict[str, str], told: str
) -> None:
    (mistake,) = mistakes(scenario, **given)

    assert told in mistake


@pytest.mark.parametrize(
    ("scenario", "given", "told"),
    [
        (
            "backpressure",
            {"sink_delay": "10h"},
            "--sink-delay 36000s with --batch-size 10: 0.000139 events a second",
        ),
        ("backpressure", {"warm_up": "1ms"}, "(--warm-up) make none"),
        (
            "backpressure",
            {"batch_size": "1", "sink_delay": "30s", "fill": "1s", "hold": "1s", "warm_up": "5m"},
            "(--fill and --hold) make none",
        ),
        (
            "throughput",
            {"rate": "0.3", "duration": "4s", "warm_up": "1s"},
            "--warm-up: warm-up-0.3-per-s for 1 s",
        ),
        (
            "throughput",
            {"rate": "1", "duration": "1s", "arrival": "poisson", "seed": "3"},
            "--rate with --arrival poisson of --seed 3: 1-per-s for 1 s makes no arrival",
        ),
        (
            "latency",
            {"rate": "0.3", "duration": "4s", "warm_up": "1s"},
            "--warm-up: warm-up-0.3-per-s for 1 s",
        ),
        (
            "partitions",
            {"repeat": "100", "sinks": "counting,waiting", "partitions": "1,2,3,4,5"},
            "make 1,000 steps",
        ),
    ],
)
def test_a_load_that_cannot_be_names_the_option(
    scenario: str, given: dict[str, str], told: str
) -> None:
    (mistake,) = mistakes(scenario, **given)

    assert told in mistake


def test_a_plan_that_an_own_shape_cannot_make_is_a_mistake_in_its_options() -> None:
    class OwnShape(ScalingShape):
        @classmethod
        def steps(cls, _: Options) -> tuple[Step, ...]:
            raise PlanError("no arrival")

    shape: Any = OwnShape
    with pytest.raises(OptionsError, match="no arrival"):
        propose(shape, {})


def test_an_idle_option_is_told_beside_the_other_mistakes() -> None:
    assert len(mistakes("latency", rows="100", lanes="none", batch_size="x")) == 3


def test_a_sink_or_transport_that_is_not_installed_is_a_mistake_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        declaration, "lacking", lambda package, extra: f"needs {extra}" if package else None
    )

    with pytest.raises(OptionsError, match="--sink iceberg needs iceberg"):
        propose(ThroughputShape, {"sink": "iceberg"})
    with pytest.raises(OptionsError, match="--transport pubsub needs cloud"):
        propose(WalShape, {"transport": "pubsub"})
    assert propose(ThroughputShape, {"sink": "postgres"}).steps


def test_a_warm_up_and_chance_are_heeded_in_an_open_loop_through_a_sink() -> None:
    steps = made("latency", sinks="counting", warm_up="1s", arrival="poisson", **PACED).steps

    assert [(step.name, step.mode, step.warm_up) for step in steps] == [
        ("latency-counting-warm-up", "paced", True),
        ("latency-counting-paced", "paced", False),
    ]
    assert {step.schedule.seed for step in steps} == {1}


def test_an_option_names_only_kinds_of_shape_that_exist() -> None:
    named = {kind for option in OPTIONS for kind in (*option.not_in, *option.only_in)}

    assert named == set(KINDS) == {shape.kind for shape in SHAPES.values()}


def test_a_shape_of_a_new_kind_reads_no_other_scenarios_own_options_unless_it_says_so() -> None:
    class OwnShape(ThroughputShape):
        kind = "own"
        reads = ("fill",)
        idle: ClassVar[dict[str, str]] = {"rows": "use --fill"}

    own: Any = OwnShape
    with pytest.raises(OptionsError) as caught:
        propose(own, {"overload": "3", "fill": "1s", "rows": "5", "sink": "slow"})

    assert caught.value.mistakes == (
        "--overload does nothing in throughput; leave it out",
        "--rows does nothing in throughput; use --fill",
    )


def test_what_an_option_needs_stands_in_its_record() -> None:
    """GIVEN a rule of conflict/ THEN some option names it."""
    named = {rule.__qualname__.split(".")[0] for option in OPTIONS for rule in option.rules}
    rules = {
        name
        for module in (capacity, load, own, pipeline, rows)
        for name, item in vars(module).items()
        if callable(item) and item.__module__ == module.__name__
    }

    # One that is beside what reads its options.
    rules.add(share_has_a_capacity.__name__)
    assert {name for name in rules if not name.startswith("_")} == named
    assert BY_NAME["rate"].rules


def test_every_option_is_sampled_or_read_by_the_run() -> None:
    whole_pipelines = {
        "source",
        "capture",
        "transport",
        "kinesis_endpoint",
        "pubsub_endpoint",
        "mode",
    }
    own = {
        "pipeline",
        "platform",
        "topic",
        "connector",
        "table",
        "group",
        "probe_column",
        "add_probe",
        "keep_rows",
        "sink_tap",
        "probe_path",
        "iceberg_mode",
        "iceberg_commit_interval",
    }

    assert {option.name for option in OPTIONS} == {*SAMPLES, *OF_THE_RUN, *whole_pipelines, *own}


def _commands() -> list[str]:
    texts = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    ]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "locustfiles").glob("*.py")]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    return sorted(
        {
            # A result that a reader has, and this test has not, is a rate here.
            line.strip().replace("results/RUN/result.json", "2000")
            for line in lines
            if re.search(r"locust -f locustfiles/\w+\.py", line)
        }
    )


@pytest.mark.parametrize("command", _commands())
def test_every_documented_command_is_a_run_that_could_start(command: str) -> None:
    scenario, rest = re.findall(r"locust -f locustfiles/(\w+)\.py([^`]*)", command)[0]
    words = shlex.split(re.split(r" {2,}(?=[\w#])", rest)[0], comments=True)
    names = {option.flag: option.name for option in OPTIONS}
    given = {names.get(word, word): value for word, value in pairwise(words)}

    assert made(scenario, **given).steps


@pytest.mark.parametrize(
    ("scenario", "given", "told"),
    [
        (
            "throughput",
            {"rate": "1e6", "duration": "1h", "arrival": "poisson"},
            "3,600,000,000 arrivals are more than can be drawn by chance, 100,000,000",
        ),
        (
            "throughput",
            {"rate": "1e6", "duration": "1h"},
            "has 3,600,000,000 rows, more than the 400,000,000 that 8 lanes have keys for",
        ),
        (
            "partitions",
            {"repeat": "100", "partitions": ",".join("1" * 998), "instances": ",".join("1" * 998)},
            "make 199,200,800 steps",
        ),
        ("throughput", {"rows": ",".join("1" * 999)}, "--rows: 999 values are too many"),
        ("throughput", {"stages": ",".join(["1/s:1s"] * 999)}, "--stages: 999 values are too many"),
    ],
)
def test_a_plan_beyond_all_bounds_is_refused_before_it_is_made(
    scenario: str, given: dict[str, str], told: str
) -> None:
    (mistake,) = mistakes(scenario, **given)

    assert told in mistake


def test_a_run_of_as_many_equal_steps_as_can_be_has_a_name_for_each() -> None:
    steps = made("throughput", stages=",".join(["1/s:1s"] * 998), warm_up="none").steps

    assert len({step.name for step in steps}) == 998
    assert steps[-1].name == "throughput-1-per-s-998"


def test_a_plan_that_is_only_shown_is_even_and_as_large_as_it_will_be() -> None:
    shape: Any = SHAPES["throughput"]
    given = {"rate": "1000", "duration": "10s", "arrival": "poisson"}
    shown, run = (
        propose(shape, given, by_chance=by_chance).steps[-1] for by_chance in (False, True)
    )

    assert (shown.schedule.seed, shown.schedule.count) == (None, 10_000)
    assert run.schedule.seed == 1
    assert abs(run.schedule.count - 10_000) < 500
