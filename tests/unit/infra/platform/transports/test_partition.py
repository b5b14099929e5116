"""Virtual partitions against the hash as Kafka's documentation and tests have it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.platform.transports.partition import partition, partitions
from tests.benchmark import baseline

#: Known hashes from Kafka's own UtilsTest.testMurmur2.
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def test_the_hash_is_kafkas() -> None:
    for key, hashed in KNOWN.items():
        assert baseline.murmur2(key) == hashed & 0x7FFFFFFF
        assert partition(key, 1000) == (hashed & 0x7FFFFFFF) % 1000


@given(st.lists(st.binary(max_size=60)), st.integers(1, 1000))
def test_many_keys_are_placed_like_each_of_them(keys: list[bytes], count: int) -> None:
    assert (
        partitions(keys, count)
        == baseline.partitions(keys, count)
        == [partition(key, count) for key in keys]
    )


def test_no_partitions_are_refused() -> None:
    with pytest.raises(ValueError, match="partition_count"):
        partition(b"key", 0)
