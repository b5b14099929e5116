"""A source, a topic or a group that becomes another one under load: each pipeline follows, or stops
by name, and none goes on in silence.

`make soak` does every event to every sink, and then twenty seeds, each of which draws a third of
the events and their moments: `pytest tests/integration/test_source_moves.py -m soak -k seed07`.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from tests.moves.event import EVENTS, MORE_EVENTS
from tests.moves.world import SINKS, MoveOutcome, MovesWorld
from tests.private_postgres import private_postgres

#: What is written before an event, and behind it.
BEFORE, AFTER = 60, 60
BEFORE_S, AFTER_S = 30.0, 6.0
SEEDS, SEED_S = 20, 120.0


class WorldKeeper:
    """One world after another on one server: a new one where the last has stopped by name, as an
    operator would set it up anew.
    """

    def __init__(self, directory: Path, sinks: Sequence[str]) -> None:
        self._directory = directory
        self._sinks = sinks
        self._undo = ExitStack()
        self._postgres = self._undo.enter_context(private_postgres(directory, {}))
        self._world: MovesWorld | None = None

    def world(self, stack: Endpoints) -> MovesWorld:
        """A world whose pipelines all go on."""
        if self._world is None:
            self._world = MovesWorld(stack, self._postgres, self._directory, self._sinks)
        return self._world

    def happened(self, stack: Endpoints, event: str) -> list[MoveOutcome]:
        """What becomes of each pipeline at an event under load."""
        world = self.world(stack)
        assert world.written(BEFORE, BEFORE_S), "nothing is written"
        world.strike({**EVENTS, **MORE_EVENTS}[event])
        world.written(AFTER, AFTER_S)
        found = world.judge()
        for outcome in found:
            print(f"{event}: {outcome}", flush=True)
        if any(outcome.ending != "followed" for outcome in found):
            self.end_world()
        return found

    def judged(self) -> list[MoveOutcome]:
        """The world as it goes on; nothing where the last one has ended."""
        return self._world.judge() if self._world is not None else []

    def end_world(self) -> None:
        if self._world is not None:
            world, self._world = self._world, None
            world.close()

    def close(self) -> None:
        self.end_world()
        self._undo.close()


@pytest.fixture(scope="module")
def every_sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorldKeeper]:
    with closing(WorldKeeper(tmp_path_factory.mktemp("moves"), SINKS)) as keeper:
        yield keeper


def silent(outcomes: Sequence[MoveOutcome]) -> list[str]:
    return [str(outcome) for outcome in outcomes if outcome.ending == "silent"]


#: Events that take a few seconds each: two that are followed, and one that stops by name.
QUICK = ("type_changed", "key_changed", "retention")


def test_what_moves_is_followed_or_stops_by_name(stack: Endpoints, tmp_path: Path) -> None:
    with closing(WorldKeeper(tmp_path, ("postgres",))) as keeper:
        found = {event: keeper.happened(stack, event) for event in QUICK}

    assert [str(outcome) for event in QUICK[:2] for outcome in found[event]] == [
        "Debezium -> postgres: followed",
        "direct reader -> Kafka: followed",
    ] * 2
    behind, direct = found["retention"]
    assert behind.ending == "stopped"
    assert "retention or a deletion took them" in behind.said
    assert direct.ending == "followed"


@pytest.mark.soak
@pytest.mark.parametrize("event", [*EVENTS, *MORE_EVENTS])
def test_no_event_is_passed_over_in_silence(
    stack: Endpoints, every_sink: WorldKeeper, event: str
) -> None:
    """One running world after another: where all pipelines have followed, the next event hits
    them as they are.
    """
    assert silent(every_sink.happened(stack, event)) == []


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """An event, and when it is due after the beginning."""

    at_s: float
    event: str


def plan(seed: int) -> list[PlannedMove]:
    """A third of the events at random moments, which follow from the seed alone."""
    chance = random.Random(seed)
    events = chance.sample(sorted(EVENTS), round(len(EVENTS) / 3))
    moments = sorted(chance.uniform(2.0, SEED_S - 10.0) for _ in events)
    return [PlannedMove(at_s, event) for at_s, event in zip(moments, events, strict=True)]


def test_the_same_seed_gives_the_same_events_at_the_same_moments() -> None:
    assert plan(7) == plan(7)
    assert {move.event for seed in range(1, SEEDS + 1) for move in plan(seed)} == set(EVENTS)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, SEEDS + 1), ids=lambda seed: f"seed{seed:02}")
def test_a_random_third_of_the_events_loses_nothing_in_silence(
    stack: Endpoints, tmp_path: Path, seed: int
) -> None:
    sinks = ("postgres", ("iceberg append", "iceberg upsert")[seed % 2])
    found: list[MoveOutcome] = []
    with closing(WorldKeeper(tmp_path, sinks)) as keeper:
        keeper.world(stack)
        started_s = time.monotonic()
        for move in plan(seed):
            time.sleep(max(0.0, started_s + move.at_s - time.monotonic()))
            print(f"seed {seed}: {move} at {time.monotonic() - started_s:.1f} s", flush=True)
            found += keeper.happened(stack, move.event)
        time.sleep(max(0.0, started_s + SEED_S - time.monotonic()))
        found += keeper.judged()
    print(f"seed {seed}: {Counter(outcome.ending for outcome in found)}", flush=True)
    assert silent(found) == []
