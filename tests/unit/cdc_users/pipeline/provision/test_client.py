"""The run's side of the steward: limits, deaths and other versions end in one sentence."""

from __future__ import annotations

import sys
import time

import pytest

from cdc_users.error import HarnessError, StewardError, StewardSilentError, TargetError
from cdc_users.pipeline.provision.client import StewardClient


def steward(program: str, left_s: float | None = None) -> StewardClient:
    command = [sys.executable, "-u", "-c", f"import sys, time\n{program}"]
    return StewardClient(command, left_s=lambda: left_s)


ANSWERS = """
for line in sys.stdin:
    print('{"ok": {"restarted": ["Kafka"], "deleted_records": 3}}' if 'health' in line
          else '{"ok": {"problems": ["slot x"]}}')
"""


def test_answers_are_decoded_and_an_end_takes_it_with_it() -> None:
    client = steward(ANSWERS)

    health = client.health()
    assert (health.restarted, health.deleted_records) == (("Kafka",), 3)
    assert client.release() == ["slot x"]
    assert client.close() == ["slot x"]


def test_a_refusal_has_its_words_and_its_exit_code() -> None:
    client = steward('sys.stdin.readline(); print(\'{"error": "no", "exit_code": 2}\')')

    with pytest.raises(TargetError, match="no") as refused:
        client.committed()
    assert refused.value.exit_code == 2
    client.close()


def test_another_version_is_one_clear_error() -> None:
    client = steward('sys.stdin.readline(); print(\'{"protocol": 99, "ok": {}}\')')

    with pytest.raises(HarnessError, match="speaks protocol 99 and this process 1"):
        client.health()
    client.close()


def test_a_steward_that_died_is_named_and_asked_nothing_more() -> None:
    client = steward("sys.stdin.readline(); sys.exit(9)")

    for _ in range(2):
        with pytest.raises(StewardError, match="ended with 9 at 'health'"):
            client.health()
    assert client.close()[0].startswith("the steward process ended with 9")


@pytest.mark.parametrize("asks", ["health", "committed", "heal"])
def test_a_run_that_has_no_time_left_does_not_wait_for_a_silent_steward(asks: str) -> None:
    client = steward("time.sleep(60)", left_s=0.0)
    began_s = time.monotonic()

    with pytest.raises(StewardSilentError, match="the steward has not answered"):
        getattr(client, asks)()
    told = client.close(0.5)

    assert time.monotonic() - began_s < 10
    assert "is still at work" in told[-1]
    client._process.kill()
    client._process.wait()
