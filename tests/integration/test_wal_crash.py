"""The direct reader killed with -9 under load: nothing lost, and no more repeated than the docs
allow.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.settings import KinesisSettings
from cdc_users.observe.taps.kinesis import KinesisTap
from infra.stack import cloud
from infra.stack.emulators.kinesis import kinesis_emulator
from tests.private_postgres import PrivatePostgres, private_postgres
from tests.wal_process import RUN, Customers, WalProcess, await_that, slots

HELD = 2_000
LONGEST_TRANSACTION = 40
#: What may be published in between two confirmations; an emulator takes some ten thousand records
#: a second.
UNCONFIRMED = 2_000


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PrivatePostgres]:
    with private_postgres(tmp_path, {}) as running:
        yield running


@pytest.mark.parametrize(
    ("events", "kills"), [(3_000, 2), pytest.param(200_000, 10, marks=pytest.mark.soak)]
)
def test_kills_lose_nothing_and_repeat_no_more_than_is_held(
    postgres: PrivatePostgres, tmp_path: Path, events: int, kills: int
) -> None:
    customers = Customers(postgres.dsn, f"cdc_wal_{uuid.uuid4().hex[:8]}")
    with kinesis_emulator(tmp_path, os.environ) as endpoint:
        cloud.create_stream(endpoint, customers.name, 4)
        tap = KinesisTap(
            KinesisSettings(endpoint=endpoint, stream=customers.name), RUN, new_anchor()
        )
        tap.start()
        options = customers.options(
            *("--transport", "kinesis", "--endpoint", endpoint, "--stream", customers.name),
            *("--max-buffered-messages", str(HELD), "--state", str(tmp_path / "state.json")),
        )
        running = [WalProcess(*options, directory=tmp_path).await_ready()]
        due = [events * (number + 1) // (kills + 1) for number in range(kills)]

        def kill_when_due(sent: int) -> None:
            if due and sent >= due[0]:
                due.pop(0)
                running.pop().end(signal.SIGKILL)
                running.append(WalProcess(*options, directory=tmp_path).await_ready())

        sent = customers.write(events, pace=kill_when_due)
        await_that(
            lambda: sum(s.delivered for s in tap.record.arrivals().steps.values()) == sent,
            "changes are missing",
        )
        assert running.pop().end(signal.SIGTERM) == 0
        tap.stop()

    audit = customers.audit(tap)
    assert not due
    assert audit.sent == audit.delivered == sent
    assert (audit.lost, audit.reordered, audit.phantom, audit.torn, audit.stale) == (0, 0, 0, 0, 0)
    assert audit.duplicated <= kills * (HELD + UNCONFIRMED + LONGEST_TRANSACTION)
    customers.remove()


def test_a_killed_reader_goes_on_from_what_it_confirmed(
    postgres: PrivatePostgres, tmp_path: Path
) -> None:
    customers = Customers(postgres.dsn, f"cdc_wal_{uuid.uuid4().hex[:8]}")
    options = customers.options("--state", str(tmp_path / "state.json"))
    first = WalProcess(*options, directory=tmp_path).await_ready()
    sent = customers.write(500)
    await_that(
        lambda: first.snapshot()["sink"]["durable_events"] == sent, "the first reader reads nothing"
    )
    await_that(
        lambda: (
            first.snapshot()["consumer"]["slot"]["confirmed_lsn"]
            >= first.snapshot()["consumer"]["slot"]["durable_lsn"]
        ),
        "nothing was confirmed",
    )
    first.end(signal.SIGKILL)

    second = WalProcess(*options, directory=tmp_path).await_ready()
    more = customers.write(100)
    await_that(
        lambda: second.snapshot()["sink"]["durable_events"] >= more,
        "the second reader reads nothing",
    )
    assert second.snapshot()["sink"]["durable_events"] == more
    assert second.end(signal.SIGTERM) == 0
    assert slots(customers.connection) == [customers.name]
    customers.remove()
