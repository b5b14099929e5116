"""The steward: whatever goes wrong is an answer, signals are the run's affair, and its end is that
of its input.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException

from cdc_users.error import StewardError, TargetError
from cdc_users.measure.wire import encode
from cdc_users.pipeline.provision import steward as module
from cdc_users.pipeline.provision.cleanup import affliction
from cdc_users.pipeline.provision.cleanup.affliction import FAULT, Affliction
from cdc_users.pipeline.provision.cleanup.journal import Journal
from cdc_users.pipeline.provision.client import StewardClient
from cdc_users.pipeline.provision.message import (
    AskHealth,
    CloseSteward,
    Health,
    OpenStack,
    Problems,
    ReleasePipeline,
    StewardRequest,
)
from cdc_users.pipeline.provision.steward import Steward, answer
from infra.client.environment import module_command
from infra.faults.fault import FaultObjects
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.supervise.state import state_of


class Answering(Steward):
    """A steward of which one answer is known."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__(Path("/nowhere"))
        self._act = act

    def answer(self, request: StewardRequest) -> Any:
        del request
        return self._act()


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def asked(steward: Steward, request: StewardRequest) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(answer(steward, encode(request).decode("utf-8")))
    return told


def test_what_was_found_is_the_answer() -> None:
    told = asked(Answering(lambda: Health(restarted=("Kafka",))), AskHealth())

    assert told["ok"]["restarted"] == ["Kafka"]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (StackConfigError("not allowed"), 2, "not allowed"),
        (TargetError("no stack"), TargetError.exit_code, "no stack"),
        (psycopg.OperationalError("gone\n"), 3, "gone"),
        (OSError("no route"), 3, "no route"),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), 3, "_TRANSPORT"),
        (KeyError("samples"), 3, "KeyError: 'samples'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_raised_is_an_answer_with_the_exit_code_of_the_run(
    error: Exception, code: int, text: str
) -> None:
    told = asked(Answering(raising(error)), AskHealth())

    assert told["exit_code"] == code
    assert text in told["error"]
    assert told["ok"] is None


@pytest.mark.parametrize("line", ["", "{", '{"do": "dance"}', '{"do": "open"}', "[1]"])
def test_what_is_no_request_is_refused_and_not_carried_out(line: str) -> None:
    told = json.loads(answer(Answering(raising(AssertionError("it was carried out"))), line))

    assert told["exit_code"] == 2
    assert "it was carried out" not in told["error"]


def test_a_steward_that_has_made_nothing_has_nothing_to_remove(tmp_path: Path) -> None:
    assert asked(Steward(tmp_path), CloseSteward())["ok"] == {"problems": []}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("request_", [ReleasePipeline(), AskHealth()])
def test_a_request_out_of_turn_is_refused(tmp_path: Path, request_: StewardRequest) -> None:
    assert asked(Steward(tmp_path), request_)["exit_code"] == 3


def test_a_target_elsewhere_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "servers.toml"
    file.write_text(
        'postgres_dsn = "host=db.example dbname=shop"\nkafka_bootstrap = "127.0.0.1:1"\n'
        'schema_registry_url = "http://127.0.0.1:1"\nconnect_url = "http://127.0.0.1:1"\n'
    )
    monkeypatch.setenv("CDC_STACK", str(file))

    told = asked(Steward(tmp_path), OpenStack(run="abcd1234", profile="bench"))

    assert told["exit_code"] == 2
    assert "db.example" in told["error"]
    assert [path.name for path in tmp_path.iterdir()] == ["servers.toml"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    command = module_command("cdc_users.pipeline.provision.steward")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as steward:
        yield steward
        steward.kill()


def line(process: subprocess.Popen[bytes], request: StewardRequest) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(encode(request) + b"\n")
    process.stdin.flush()
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def test_signals_are_for_the_run_and_the_end_of_its_input_is_the_stewards(
    process: subprocess.Popen[bytes],
) -> None:
    assert line(process, ReleasePipeline())["exit_code"] == 3  # it is up

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    assert line(process, CloseSteward())["ok"] == {"problems": []}

    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0


def test_what_is_asked_is_answered_in_order_and_one_line_each(
    process: subprocess.Popen[bytes],
) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    requests = [b"nonsense", encode(CloseSteward()), encode(ReleasePipeline())]
    process.stdin.write(b"\n".join(requests) + b"\n")
    process.stdin.close()

    told = [json.loads(text) for text in process.stdout]

    assert [answer["exit_code"] for answer in told] == [2, 0, 3]
    assert told[1]["ok"] == {"problems": list(Problems().problems)}


def test_a_fault_of_a_dead_run_is_tried_once_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    url = "http://127.0.0.1:1"
    nowhere = Endpoints("external", "host=127.0.0.1 port=1", "127.0.0.1:1", url, url)
    dead = Journal.create(state_of(tmp_path).runs / "dead0001.jsonl", "dead0001", nowhere)
    dead.add(FAULT, Affliction("kill-kafka", FaultObjects("cdc_1", ("customers",))).as_text())
    dead.close()
    tried: list[str] = []

    def undo(endpoints: Endpoints, text: str) -> None:
        tried.append(text)
        raise TargetError(f"nothing answers at {endpoints.kafka_bootstrap}")

    monkeypatch.setattr(affliction, "undo", undo)
    monkeypatch.setattr(module, "locate", lambda *_: nowhere)
    steward = Steward(tmp_path)

    steward.open(OpenStack(run="abcd1234", profile="bench"))

    steward.close()
    assert len(tried) == 1
    assert "run dead0001 has left" in capfd.readouterr().err
    assert dead.path.exists()


STARTING = """
import sys
from pathlib import Path
from cdc_users.pipeline.provision import steward
steward.CHECKOUT = Path(sys.argv[1])
child = "import os, time; open('started', 'w').write(str(os.getpid())); time.sleep(600)"
steward.module_command = lambda *_: [sys.executable, "-c", child]
steward.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ties processes on Linux alone")
def test_a_steward_that_is_killed_while_it_starts_a_stack_takes_that_with_it_and_is_missed_at_once(
    tmp_path: Path,
) -> None:
    started = tmp_path / "started"
    client = StewardClient([sys.executable, "-c", STARTING, str(tmp_path)])
    with ThreadPoolExecutor() as pool:
        opening = pool.submit(client.open, "abcd1234", "bench", ())
        wait_for(lambda: started.exists() and bool(started.read_text()))
        child = psutil.Process(int(started.read_text()))

        client._process.kill()

        try:
            with pytest.raises(StewardError, match="ended with -9 at 'open'"):
                opening.result(60)
            wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
            client.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
