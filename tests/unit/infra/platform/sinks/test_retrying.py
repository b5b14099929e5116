"""Retries: with growing pauses, up to a limit, in order, and never of what would fail again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.platform.process.error import ConfigError, RefusedError, RetryableError
from infra.platform.process.retry import Backoff
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from infra.platform.sinks.retrying import RetryingSink
from tests.batches import Partition
from tests.change_events import inserts


class FailingSink(CountingSink):
    """Fails with these errors, one a call, then works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.calls = 0
        self._errors = list(errors)

    async def write(self, batch: Batch) -> WriteStatus:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return await super().write(batch)


QUICK = Backoff(first_s=0.001, longest_s=0.002, limit_s=10.0)


@given(st.integers(1, 60), st.floats(0, 1))
def test_pauses_grow_up_to_the_longest_and_differ_by_chance(attempt: int, chance: float) -> None:
    backoff = Backoff(first_s=0.1, longest_s=5.0)
    whole_s = min(5.0, 0.1 * 2 ** (attempt - 1))

    assert whole_s / 2 <= backoff.pause_s(attempt, chance) <= whole_s


async def test_whatever_a_sink_raises_is_tried_again() -> None:
    inner = FailingSink(RetryableError("once"), OSError("twice"), ValueError("three times"))
    sink = RetryingSink(inner, QUICK)

    assert await sink.write(Partition().batch(list(inserts(2)))) is WriteStatus.DURABLE
    assert (inner.calls, inner.count, sink.retries) == (4, 2, 3)


@pytest.mark.parametrize("error", [RefusedError("no"), ConfigError("no")])
async def test_a_refusal_is_passed_on_at_once(error: Exception) -> None:
    inner = FailingSink(error)

    with pytest.raises(type(error)):
        await RetryingSink(inner, QUICK).write(Partition().batch(list(inserts(1))))
    assert inner.calls == 1


async def test_after_its_limit_the_last_failure_is_raised() -> None:
    inner = FailingSink(*[OSError(str(number)) for number in range(1000)])

    with pytest.raises(OSError):
        await RetryingSink(inner, Backoff(0.001, 0.002, limit_s=0.02)).write(
            Partition().batch(list(inserts(1)))
        )
    assert 1 < inner.calls < 1000


async def test_giving_up_ends_a_pause() -> None:
    inner = FailingSink(*[RetryableError("later", retry_after_s=3600) for _ in range(3)])
    sink = RetryingSink(inner, QUICK)
    sink.give_up()

    with pytest.raises(RetryableError):
        await sink.write(Partition().batch(list(inserts(1))))
    assert inner.calls == 1
