"""Fuzzing the decoder: whatever the bytes, a result or a DecodeError with its place, from every
way to read.
"""

from __future__ import annotations

import time

import pytest

from infra.replication.pgoutput.decoder import PgOutputDecoder
from tests.unit.infra.replication.pgoutput.mutation import originals, run


def test_the_originals_are_well_formed() -> None:
    decoder = PgOutputDecoder()
    for message in sorted(originals(), key=lambda message: message[:1] != b"R"):
        decoder.decode(message)


def test_mutated_messages_are_read_or_refused() -> None:
    tally = run(20_000, seed=1)

    assert tally.deep >= tally.messages / 2
    assert 0 < tally.read < tally.messages


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_mutated_messages_are_read_or_refused() -> None:
    tally = run(1_000_000, seed=int(time.time()))

    print(tally)
    assert tally.deep >= tally.messages / 2
    assert 0 < tally.read < tally.messages
