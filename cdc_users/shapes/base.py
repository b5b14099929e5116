"""What every shape of this project shares: it declares a scenario, starts its lanes, and ends when the run has."""

from __future__ import annotations

from typing import Any, ClassVar

from locust import LoadTestShape, User

from cdc_users import events
from cdc_users.options import Options
from cdc_users.scenario import Scenario, Step

SPAWN_PER_S = 100


class ScenarioShape(LoadTestShape):
    """A load test shape that runs one scenario. Subclasses declare `scenario` and `writer` and turn options into steps.

    Declaring one in a locustfile registers the harness's options and listeners with Locust; importing this
    module does nothing. `tick` only says how many lanes there should be: the plan owns all time.
    """

    abstract = True
    scenario: ClassVar[Scenario]
    writer: ClassVar[type[User]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "scenario" in cls.__dict__:
            events.declare(cls.scenario)

    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        """The run's steps, in order. Pure; the options are valid in themselves."""
        raise NotImplementedError

    def reset_time(self) -> None:
        """Locust begins a test with this shape."""
        super().reset_time()  # type: ignore[no-untyped-call]
        events.begin()

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """This scenario's lanes as long as the run wants them; the end when it has concluded."""
        assert self.runner is not None
        lanes = events.lanes_wanted(self.runner.environment)
        return None if lanes is None else (lanes, SPAWN_PER_S, [self.writer])
