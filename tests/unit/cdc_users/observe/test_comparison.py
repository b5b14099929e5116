"""The final comparison: what both sides must hold, what is left out of it, and what is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.ledger.sequence import pack
from cdc_users.observe.comparison import SHOWN, answer, form_of, last_seen, name_columns
from cdc_users.observe.final_state import ArraySide, TableState
from cdc_users.observe.message import Difference, ExpectedSide, Final, FinalRequest, TapSide
from infra.avro.kind import ColumnKind

RUN = "abcd1234"
versions = st.dictionaries(st.integers(1, 40), st.integers(1, 5), max_size=20)


def packed(numbers: Sequence[int]) -> str:
    return pack(np.array(numbers, dtype=np.int64))


def side(rows: Mapping[int, int], doubtful: Sequence[int] = ()) -> ExpectedSide:
    return ExpectedSide(
        keys=packed(list(rows)),
        versions=packed(list(rows.values())),
        doubtful=packed(doubtful) if doubtful else None,
    )


def compared(request: FinalRequest, taps: Mapping[str, Any] | None = None) -> Final:
    return answer(request, RUN, cast(Any, taps or {}))


@given(versions, versions, st.sets(st.integers(1, 40), max_size=5))
def test_every_key_that_is_not_doubtful_has_its_version_or_is_named(
    source: dict[int, int], sink: dict[int, int], doubtful: set[int]
) -> None:
    found = compared(FinalRequest(source=side(source, sorted(doubtful)), sink=side(sink)))

    sure = {key: version for key, version in source.items() if key not in doubtful}
    there = {key: version for key, version in sink.items() if key not in doubtful}
    assert found.missing == len(sure.keys() - there.keys())
    assert found.extra == len(there.keys() - sure.keys())
    assert found.stale == sum(there[key] < sure[key] for key in sure.keys() & there.keys())
    assert found.clean is (sure == there)


@given(versions, st.sets(st.integers(1, 40), max_size=5))
def test_what_somebody_else_wrote_is_nobodys_loss(source: dict[int, int], others: set[int]) -> None:
    """Any tap may have seen it."""
    tap = SimpleNamespace(record=SimpleNamespace(others_keys=dict.fromkeys(sorted(others))))
    found = compared(FinalRequest(source=side(source), sink=side({})), {"topic": tap})

    assert found.missing == len(source.keys() - others)


def test_a_deleted_key_that_is_there_is_told_by_its_version() -> None:
    """GIVEN two keys that were deleted at version 3 THEN the one that is there as it was just
    before was never deleted, and the older one has come back.
    """
    request = FinalRequest(
        source=side({1: 1}),
        sink=side({1: 1, 2: 2, 3: 1}),
        gone=packed([2, 3]),
        gone_versions=packed([3, 3]),
    )
    found = compared(request)

    assert (found.undeleted, found.resurrected, found.extra) == (1, 1, 0)


def arrivals(seen: Mapping[int, int]) -> Arrivals:
    """What a tap knows of keys that were updated: the last version of each, 0 for a deleted one."""
    keys = SimpleNamespace(
        key=np.array(list(seen), dtype=np.int64),
        last=np.array(list(seen.values()), dtype=np.int32),
    )
    return cast(Arrivals, SimpleNamespace(keys=keys))


def test_a_tap_has_seen_the_last_version_of_what_it_knows_and_the_first_of_all_else() -> None:
    source = {1: 1, 2: 3, 3: 2, 4: 1}
    rows = TableState.of(np.array([1, 2, 3, 4]), np.array(list(source.values())))
    seen = last_seen(arrivals({2: 3, 3: 1, 9: 0}), ArraySide("source", rows, marked=False))
    state = seen.state(range(1024), 1024)

    assert dict(zip(state.key.tolist(), state.version.tolist(), strict=True)) == {
        1: 1,
        2: 3,
        3: 1,
        4: 1,
    }


def test_a_sink_that_is_a_tap_is_compared_by_versions() -> None:
    record = SimpleNamespace(others_keys={}, arrivals=lambda: arrivals({2: 1}))
    taps = {"sink": SimpleNamespace(record=record)}
    found = compared(FinalRequest(source=side({1: 1, 2: 2}), sink=TapSide(name="sink")), taps)

    assert (found.stale, found.missing, found.extra) == (1, 0, 0)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (FinalRequest(source=TapSide(name="topic"), sink=side({})), "only be the sink's side"),
        (
            FinalRequest(source=side({}), sink=TapSide(name="other")),
            "tap 'other' is not one of topic",
        ),
    ],
)
def test_sides_that_cannot_be_are_refused(request_: FinalRequest, said: str) -> None:
    tap = SimpleNamespace(record=SimpleNamespace(others_keys={}))

    with pytest.raises(ValueError, match=said):
        compared(request_, {"topic": tap})


@pytest.mark.parametrize(
    ("kind", "left", "right", "same"),
    [
        (ColumnKind.DECIMAL, Decimal("1.50"), Decimal("1.5"), True),
        (ColumnKind.DECIMAL, Decimal("1.50"), Decimal("1.51"), False),
        (ColumnKind.TEXT, None, "", False),
        (ColumnKind.TEXT, "a", "a", True),
        (ColumnKind.INT64, 1, 1.0, True),
        (ColumnKind.INT64, object, "no number", False),
    ],
)
def test_values_are_compared_by_what_they_are(
    kind: ColumnKind, left: object, right: object, same: bool
) -> None:
    assert (form_of(kind, left) == form_of(kind, right)) is same


@dataclass
class Columns:
    """A side whose rows can be read again, by key."""

    rows: Mapping[int, Mapping[str, object]]
    kinds: Mapping[str, ColumnKind] = field(
        default_factory=lambda: {"name": ColumnKind.TEXT, "amount": ColumnKind.DECIMAL}
    )
    asked: list[int] = field(default_factory=list)

    def columns_of(self, keys: Sequence[int]) -> Mapping[int, Mapping[str, object]]:
        self.asked += keys
        return self.rows


def difference(key: int, finding: str) -> Difference:
    return Difference(key=key, finding=finding, source_version=1, sink_version=1)


def test_a_corrupt_row_names_its_columns_with_what_they_hold() -> None:
    left = Columns({1: {"name": "x" * 100, "amount": Decimal("1.0")}, 2: {"name": "same"}})
    right = Columns({1: {"name": None, "amount": Decimal(1)}, 2: {"name": "same"}})
    found = Final(
        examples=[
            difference(1, "corrupt"),
            difference(2, "corrupt"),
            difference(3, "missing"),
        ]
    )

    name_columns(found, cast(Any, left), cast(Any, right))

    assert found.examples[0].columns == {"name": (f"{'x' * SHOWN}... (100 characters)", "NULL")}
    assert not found.examples[1].columns
    assert left.asked == right.asked == [1, 2]


def test_where_no_row_is_corrupt_nothing_is_read_again() -> None:
    left, right = Columns({}), Columns({})

    name_columns(Final(examples=[difference(3, "missing")]), cast(Any, left), cast(Any, right))

    assert left.asked == right.asked == []
