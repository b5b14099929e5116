"""The base of every shape of this project: it declares a scenario, starts its lanes, and ends when
the run has ended.
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

    `writer` writes to the database, `producer` to the topic; the option `--source` decides which of
    them runs.

    `kind` decides which options `steps` does not read (cdc_users.options.table). A shape of a new
    kind names other scenarios' options that it reads in `reads`, and options that it does not read
    in `idle`, each with what to use instead. An option that a shape does not read is refused.
    `foremost` lists the few options that the form shows first.

    Declaring a shape in a locustfile registers the harness's options and listeners with Locust;
    importing this module does nothing. `tick` only returns the number of lanes, because the plan
    keeps all time.
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
        """The scenario's steps, in order. Equal names will be numbered, and all steps get the
        largest number of lanes. Pure; each option is valid by itself.
        """
        raise NotImplementedError

    @classmethod
    def course(cls, options: Options, steps: Sequence[Step]) -> Course:  # noqa: ARG003 - most scenarios know their steps
        """How the steps are taken: one after another, unless results decide what follows.

        `steps` are the result of `steps` after its checks.
        """
        return FixedCourse(steps)

    @classmethod
    def skipped(cls, options: Options) -> tuple[str, ...]:  # noqa: ARG003 - most scenarios leave out nothing
        """Parts of the question that the run leaves out, each with the reason; the result shows
        them.
        """
        return ()

    @classmethod
    def user(cls, options: Options) -> type[User]:
        """The user class of this run's load; raises OptionsError where the scenario has none for
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
        """Locust begins a test with this shape: forget the run before."""
        super().reset_time()  # type: ignore[no-untyped-call]
        assert self.runner is not None
        hooks.begin(self.runner.environment)

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """This scenario's lanes while the run needs them; None once the run has concluded."""
        assert self.runner is not None
        wanted = hooks.lanes_wanted(self.runner.environment)
        return None if wanted is None else (wanted.lanes, SPAWN_PER_S, [wanted.user])
