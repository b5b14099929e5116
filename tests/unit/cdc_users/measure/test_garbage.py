"""What is there before a load is in no collection during it, and is not kept for ever."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from cdc_users.measure.garbage import set_aside


class Node:
    """Something that only the collector can free, once it points at itself."""

    itself: Node


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_a_collection_looks_at_what_has_come_since() -> None:
    set_aside()
    kept = [[] for _ in range(1000)]  # type: ignore[var-annotated]

    looked_at = gc.get_objects()

    assert gc.get_freeze_count() > 10_000
    assert any(one is kept for one in looked_at)
    assert len(looked_at) < gc.get_freeze_count() / 2


def test_what_was_set_aside_and_is_garbage_is_freed_the_next_time() -> None:
    node = Node()
    node.itself = node
    gone = weakref.ref(node)
    set_aside()
    del node
    gc.collect()
    assert gone() is not None

    set_aside()
    assert gone() is None
