"""What every shape of this project shares: it declares a scenario, starts its lanes, and ends when
the run has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from locust import LoadTestShape, User

from cdc_users.error import OptionsError
from cdc_users.options.options import Options
from cdc_users.pipeline.declaration import sources
from cdc_users.run.locust import hooks
from cdc_users.scenario import Course, FixedCourse, Scenario, Step

SPAWN_PER_S = 100


class ScenarioShape(LoadTestShape):
    """A load test shape that runs one scenario.

    Subclasses declare `scenario` and turn options into steps.

    `writer` drives the database, `producer` the topic; which of them runs is the option
    `--source`.

    `kind` says which options `steps` does not read (cdc_users.options.table); a shape of a new
    kind names in `reads` those of other scenarios that it reads, and in `idle` those that it does
    not, with what to do instead. An option that a shape does not read is refused. `foremost` has
    the few options that the form shows first.

    Declaring one in a locustfile registers the harness's options and listeners with Locust;
    importing this module does nothing. `tick` only says how many lanes there should be: the plan
    owns all time.
    """

    abstract = True
    scenario: ClassVar[Scenario]
    writer: ClassVar[type[User] | None] = None
    producer: ClassVar[type[User] | None] = None
    kind: ClassVar[str] = ""
    reads: ClassVar[Collection[str]] = ()
    idle: ClassVar[Mapping[str, str]] = {}
    foremost: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "scenario" in cls.__dict__:
            hooks.declare(cls)

    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        """The scenario's steps, in order; those with equal names will be numbered, and all will
        have the most lanes that one has. Pure; the options are valid in themselves.
        """
        raise NotImplementedError

    @classmethod
    def course(cls, options: Options, steps: Sequence[Step]) -> Course:  # noqa: ARG003 - most scenarios know their steps
        """How the steps are taken: one after another, unless what they show decides what follows.

        `steps` are those of `steps`, as they were checked.
        """
        return FixedCourse(steps)

    @classmethod
    def skipped(cls, options: Options) -> tuple[str, ...]:  # noqa: ARG003 - most scenarios leave out nothing
        """What was asked for and is left out, each with its reason; the result says so."""
        return ()

    @classmethod
    def user(cls, options: Options) -> type[User]:
        """Who generates this run's load; raises OptionsError where the scenario has nobody for
        it.
        """
        lanes = sources().by_name[options.source].lanes
        chosen: type[User] | None = getattr(cls, lanes, None)
        if chosen is None:
            raise OptionsError(
                [f"--source {options.source} is not possible in the scenario {cls.scenario.name}"]
            )
        return chosen

    def reset_time(self) -> None:
        """Locust begins a test with this shape."""
        super().reset_time()  # type: ignore[no-untyped-call]
        assert self.runner is not None
        hooks.begin(self.runner.environment)

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """This scenario's lanes as long as the run wants them; the end when it has concluded."""
        assert self.runner is not None
        wanted = hooks.lanes_wanted(self.runner.environment)
        return None if wanted is None else (wanted.lanes, SPAWN_PER_S, [wanted.user])
