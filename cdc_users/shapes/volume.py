"""Fixed volumes as fast as they go, or an open loop at a rate: the shape of the throughput scenario."""

from __future__ import annotations

from cdc_users.measure.plan import Schedule
from cdc_users.options import Options
from cdc_users.scenario import Mode, Step
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.pipeline import pipeline


def volume_steps(name: str, options: Options) -> tuple[Step, ...]:
    """One burst step for each of `--rows`."""
    size = options.rows_per_transaction
    return tuple(_step(f"{name}-{rows}-rows", "burst", Schedule.volume(rows // size), options) for rows in options.rows)


def paced_steps(name: str, options: Options) -> tuple[Step, ...]:
    """The open-loop step that `--rate` asks for."""
    assert options.rate is not None
    assert options.duration is not None
    return (
        _step(f"{name}-{options.rate:g}-per-s", "paced", Schedule.constant(options.rate, options.duration), options),
    )


def _step(name: str, mode: Mode, schedule: Schedule, options: Options) -> Step:
    lanes = min(options.lanes, schedule.count)
    return Step(name, mode, schedule, pipeline(options), lanes, options.rows_per_transaction)


class VolumeShape(ScenarioShape):
    """Bursts of `--rows`, or one paced step when `--rate` is given."""

    abstract = True

    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        """See ScenarioShape."""
        return volume_steps(cls.scenario.name, options) if options.rows else paced_steps(cls.scenario.name, options)
