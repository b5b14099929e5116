"""Options that sinks, transports and scenarios bring along are options like those of the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import pytest

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.measure.wire import decode, encode
from cdc_users.options.options import BY_NAME, OPTIONS, Options, command_line, resolve, texts
from cdc_users.options.parse import Count
from cdc_users.options.proposal import propose
from cdc_users.options.table import part
from cdc_users.options.table.part import BroughtOptions, of_parts, of_scenario
from cdc_users.options.table.record import VOLUME, Option
from cdc_users.pipeline.declaration import SinkDeclaration, TransportDeclaration
from cdc_users.pipeline.provision.message import PreparePipeline
from cdc_users.scenario import (
    Course,
    FixedCourse,
    OwnOption,
    Pipeline,
    Scenario,
    Step,
    own_arguments,
)
from cdc_users.users.workload.workload import Workload
from infra.plugin import Offer

FILE = OwnOption("toy_file", "Where it counts.", argument="toy-file")
SPEED = OwnOption("toy_speed", "How fast it is.", Count(9), default="3", argument="speed")
WAVES = OwnOption("waves", "How many waves.", Count(9), default="3")


def toy_parts(
    monkeypatch: pytest.MonkeyPatch,
    sink: Sequence[OwnOption] = (FILE,),
    transport: Sequence[OwnOption] = (SPEED,),
) -> BroughtOptions:
    """What a toy sink and a toy transport bring along."""
    made = SinkDeclaration("toy", options=tuple(sink))
    post = TransportDeclaration("post", "Post", tap=cast(Any, None), options=tuple(transport))
    monkeypatch.setattr(part, "sinks", lambda: Offer({"toy": made}, ()))
    monkeypatch.setattr(part, "transports", lambda: Offer({"post": post}, ()))
    return of_parts(BY_NAME)


def given(brought: Sequence[Option], **values: str) -> Any:
    """The options that these texts come to, beside what parts brought along."""
    known = (*OPTIONS, *brought)
    return resolve(texts(values, {"rows": "10"}, known), (), known)


def test_a_part_brings_options_that_are_read_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brought = toy_parts(monkeypatch)
    options = given(brought.options, toy_file="here", rows="20")

    assert brought.mistakes == ()
    assert options.own == {"toy_file": "here", "toy_speed": 3}
    assert options.rows == (20,)
    file, speed = brought.options
    assert (file.flag, file.variable, file.sink) == ("--toy-file", "CDC_TOY_FILE", "toy")
    assert (file.takes, speed.takes) == ("a text", "1 to 9")


def test_its_mistakes_are_reported_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = toy_parts(monkeypatch)

    with pytest.raises(OptionsError) as caught:
        given(brought.options, toy_speed="10", partitions="x")

    said = "\n".join(caught.value.mistakes)
    assert "--toy-speed: '10' must be at most 9" in said
    assert "--partitions: " in said


def test_an_option_of_one_transport_is_refused_beside_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brought = toy_parts(monkeypatch)

    assert given(brought.options, toy_speed="3").own["toy_speed"] == 3
    with pytest.raises(OptionsError, match="--toy-speed does nothing with --transport kafka"):
        given(brought.options, toy_speed="4")
    ((rule,),) = (option.rules for option in brought.options if option.rules)
    assert rule({"toy_speed": 4}) == [], "a transport that could not be read is another's mistake"
    assert rule({"toy_speed": 4, "transport": "post"}) == []


@pytest.mark.parametrize(
    ("sink", "transport", "said"),
    [
        ("rows", "toy_speed", "the sink toy offers --rows, but that name is taken"),
        ("twice", "twice", "the transport post offers --twice, but that name is taken"),
        ("toy-file", "toy_speed", "the sink toy offers an option 'toy-file', which is no name"),
        ("Toy", "toy_speed", "the sink toy offers an option 'Toy', which is no name"),
    ],
)
def test_a_name_that_cannot_be_one_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, sink: str, transport: str, said: str
) -> None:
    brought = toy_parts(monkeypatch, [OwnOption(sink, "")], [OwnOption(transport, "")])

    (mistake,) = brought.mistakes
    assert mistake.startswith(said)
    assert len(brought.options) == 1


def test_what_it_becomes_on_the_platforms_command_line() -> None:
    """GIVEN options with an argument, without one, and one that is not set."""
    silent = OwnOption("silent", "For the harness alone.")
    unset = OwnOption("unset", "Not given.", argument="unset")
    pipeline = Pipeline(own=(("toy_file", "here"), ("silent", "x"), ("unset", None)))

    assert own_arguments((FILE, silent, unset), pipeline) == {"toy-file": "here"}
    assert own_arguments((), pipeline) == {}
    with pytest.raises(KeyError):
        pipeline.own_value("toy_speed")


def test_its_value_reaches_the_process_that_provides_for_the_pipeline() -> None:
    values = (("text", "x"), ("number", 3), ("rate", 1.5), ("yes", True), ("unset", None))
    request = PreparePipeline(
        name="n",
        tables=("t",),
        tuning="latency",
        pipeline=Pipeline(own=values),
        mix=Workload().mix,
        seed=Workload().seed,
        custom_rows=False,
    )

    assert decode(encode(request), PreparePipeline, "the run").pipeline.own == values


class WavesShape:
    """A shape that makes as many steps as its own option says."""

    scenario = Scenario("waves", "", defaults={"rows": "10"}, options=(WAVES,))
    kind = VOLUME
    reads: Collection[str] = ()
    idle: Mapping[str, str] = MappingProxyType({})
    foremost: tuple[str, ...] = ()

    def steps(self, options: Options) -> Sequence[Step]:
        schedule = Schedule.volume(options.rows[0])
        return [
            Step(f"wave-{wave}", "burst", schedule, Pipeline(), 8)
            for wave in range(cast(int, options.own["waves"]))
        ]

    def course(self, _: Options, steps: Sequence[Step]) -> Course:
        return FixedCourse(steps)

    def skipped(self, _: Options) -> Sequence[str]:
        return ()

    def user(self, _: Options) -> type:
        return object


def test_a_scenario_has_options_of_its_own() -> None:
    assert len(propose(WavesShape(), {}).steps) == 3
    assert len(propose(WavesShape(), {"waves": "2"}).steps) == 2
    with pytest.raises(OptionsError, match="--waves: '10' must be at most 9"):
        propose(WavesShape(), {"waves": "10"})


def test_a_scenario_cannot_take_an_options_name() -> None:
    scenario = Scenario("waves", "", options=(OwnOption("rate", ""),))

    assert of_scenario(scenario, BY_NAME).options == ()
    assert of_scenario(scenario, BY_NAME).mistakes == (
        "the scenario waves offers --rate, but that name is taken; give it another",
    )


def test_the_command_that_repeats_a_run_has_the_scenarios_own_options() -> None:
    command = command_line(WavesShape.scenario, [], {"waves": "2", "rows": "5"})

    assert command == "locust -f locustfiles/waves.py --headless --rows 5 --waves 2"
