"""Fences end an audit only when every partition's, at every tap, has been seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from cdc_users.error import TargetError
from cdc_users.measure.ledger.probe import Operation, parse_probe
from cdc_users.users.producer import fence
from cdc_users.users.producer.fence import send_fences

pytestmark = pytest.mark.gevent


@dataclass
class Tap:
    """A tap of a pipeline that has no delay; `partition` says where a key goes."""

    partition: Callable[[int], int]
    fences: set[int] = field(default_factory=set)
    fenced_partitions: set[int] = field(default_factory=set)
    fence_places: dict[int, int] = field(default_factory=dict)
    tells: bool = True
    loses: Callable[[int], bool] = lambda _: False

    def see(self, key: int) -> bool:
        if self.loses(key):
            return False
        self.fences.add(key)
        if self.tells:
            self.fenced_partitions.add(self.partition(key))
            self.fence_places[key] = self.partition(key)
        return True


class Source:
    """Numbers keys from 1 and lets the taps see them at once."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        self.taps = taps
        self.keys: set[int] = set()

    def __call__(self, count: int) -> set[int]:
        for _ in range(count):
            key = len(self.keys) + 1
            self.keys.add(key)
            for tap in self.taps:
                if not tap.see(key):
                    break
        return self.keys


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "POLL_S", 0.001)
    monkeypatch.setattr(fence, "QUIET_S", 0.01)


def test_more_are_sent_until_each_partition_has_had_one() -> None:
    # Keys 1 to 8 go to partition 0; only then does one reach the other.
    tap = Tap(lambda key: int(key > 8))
    source = Source([tap])

    assert send_fences(source, 2, lambda: [tap], 5)
    assert len(source.keys) == 10


def test_no_more_are_sent_than_it_takes() -> None:
    tap = Tap(lambda key: key % 4)
    source = Source([tap])

    assert send_fences(source, 4, lambda: [tap], 5)
    assert len(source.keys) == 4


def test_a_tap_that_cannot_tell_partitions_gets_plenty() -> None:
    tap = Tap(lambda _: 0, tells=False)
    source = Source([tap])

    assert send_fences(source, 2, lambda: [tap], 5)
    assert len(source.keys) == 2 + 2 * fence.TRIES_PER_PARTITION


def test_a_later_tap_that_missed_one_leaves_the_audit_incomplete() -> None:
    first, later = Tap(lambda _: 0), Tap(lambda _: 0)
    source = Source([first])

    assert not send_fences(source, 1, lambda: [first, later], 0.05)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("place", ["topic", "sink"])
@pytest.mark.parametrize("share", [5, 2])
def test_who_loses_fences_as_it_loses_events_is_convicted_by_those_that_come(
    tells: bool, place: str, share: int
) -> None:
    def loses(key: int) -> bool:
        return key % share != 0 if share == 2 else key % share == 0

    topic, sink = Tap(lambda key: key // 7 % 4), Tap(lambda _: 0, tells=tells)
    (topic if place == "topic" else sink).loses = loses

    assert send_fences(Source([topic, sink]), 4, lambda: [topic, sink], 5)


def test_a_partition_that_lets_nothing_through_leaves_the_audit_incomplete() -> None:
    topic, sink = Tap(lambda key: key % 2), Tap(lambda key: key % 2)
    sink.loses = lambda key: key % 2 == 1

    assert not send_fences(Source([topic, sink]), 2, lambda: [topic, sink], 0.5)


def test_a_fence_is_a_row_with_a_fresh_key_and_a_probe_that_says_so() -> None:
    change = fence.fence("abcd1234", 7, 1_795_503_852_810_042, table=1)

    assert change.row is not None
    assert change.row[0] == change.key
    probe = parse_probe(change.row[-1])
    assert (probe.operation, probe.sequence, change.table) == (Operation.FENCE, 7, 1)


def test_taps_that_are_busy_for_a_while_are_asked_again() -> None:
    tap = Tap(lambda _: 0)
    busy = iter([True, True])

    def look() -> list[Tap]:
        if next(busy, False):
            raise TargetError("busy")
        return [tap]

    assert send_fences(Source([tap]), 1, look, 5)


def test_nobody_waits_for_taps_that_are_gone() -> None:
    def look() -> list[Tap]:
        raise TargetError("gone")

    assert not send_fences(Source([]), 1, look, 3600, lambda: True)
    assert not send_fences(Source([]), 1, look, 0.05)
