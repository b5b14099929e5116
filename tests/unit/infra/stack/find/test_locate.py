"""A stack is used when its supervisor lives and its servers answer, and named when one does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import requests

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.find import locate as located
from infra.stack.find.locate import find, hosts, supervised, verify
from infra.stack.servers.probe import ServerProbe
from infra.stack.supervise.identity import identify
from infra.stack.supervise.state import hold, state_of, write_json

OWN = Endpoints("process", "host=127.0.0.1 port=1", "127.0.0.1:2", "http://127.0.0.1:3", "http://c")
SELF = identify(os.getpid())
LIVING = replace(OWN, supervisor_pid=SELF.pid, supervisor_started_s=SELF.started_s)
DEAD = replace(OWN, supervisor_pid=SELF.pid, supervisor_started_s=SELF.started_s - 100)


def test_a_checkout_without_a_stack_has_none(tmp_path: Path) -> None:
    assert find(tmp_path, {}) is None


def test_a_stack_whose_supervisor_lives_is_found(tmp_path: Path) -> None:
    write_json(state_of(tmp_path).endpoints, LIVING.to_json())

    assert find(tmp_path, {}) == LIVING
    sink = find(tmp_path, {"CDC_SINK_DSN": "host=127.0.0.9"})
    assert sink is not None
    assert sink.sink == "host=127.0.0.9"


def test_a_stack_whose_supervisors_pid_is_somebody_elses_is_none(tmp_path: Path) -> None:
    write_json(state_of(tmp_path).endpoints, DEAD.to_json())

    assert find(tmp_path, {}) is None


def test_a_supervisor_in_another_pid_namespace_is_known_by_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = state_of(tmp_path)
    monkeypatch.setattr(located, "state_of", lambda *_: state)
    write_json(state.endpoints, DEAD.to_json())
    assert not supervised(DEAD)

    with hold(state):
        assert supervised(DEAD)
        assert not supervised(replace(DEAD, supervisor_started_s=5.0))
        assert find(tmp_path, {}) == DEAD


@pytest.mark.parametrize(
    "changes", [{"supervisor_pid": None}, {"supervisor_started_s": None}, {"kind": "external"}]
)
def test_servers_without_a_supervisor_are_taken_to_live(changes: dict[str, str | None]) -> None:
    assert supervised(replace(LIVING, **changes))  # type: ignore[arg-type]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Servers that answer, or fail as they are told to."""

    def put(**failures: Exception) -> list[str]:
        seen: list[str] = []

        def probe(name: str, place: str) -> ServerProbe:
            def ask() -> None:
                seen.append(name)
                if name in failures:
                    raise failures[name]

            return ServerProbe(name.title(), place, ask)

        monkeypatch.setattr(
            located,
            "probes",
            lambda found: {
                "postgres": probe("postgres", found.postgres_dsn),
                "kafka": probe("kafka", found.kafka_bootstrap),
            },
        )
        return seen

    return put


def test_every_server_that_there_is_is_asked(asked: Callable[..., list[str]]) -> None:
    seen = asked()

    assert verify(OWN) is OWN
    assert seen == ["postgres", "kafka"]
    assert verify(replace(OWN, kafka_bootstrap="")).kafka_bootstrap == ""
    assert seen == ["postgres", "kafka", "postgres"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psycopg.OperationalError("refused\n"), "refused"),
        (StackError("no broker"), "no broker"),
        (requests.ConnectTimeout("http://u:p@h"), ""),
    ],
)
def test_one_that_does_not_answer_is_named_with_its_place(
    asked: Callable[..., list[str]], error: Exception, told: str
) -> None:
    asked(kafka=error)

    with pytest.raises(StackError) as failure:
        verify(OWN)

    text = str(failure.value)
    assert text.startswith(f"Kafka (127.0.0.1:2) does not answer as it should: {told}")
    assert text.endswith("; see that server's log, or name another one")
    assert "u:p" not in text
    assert failure.value.exit_code == 3


def test_what_is_wrong_with_what_was_asked_for_is_told_as_it_is(
    asked: Callable[..., list[str]],
) -> None:
    asked(postgres=StackConfigError("no such authority"))

    with pytest.raises(StackConfigError, match=r"^no such authority$"):
        verify(OWN)


def test_a_failure_of_our_own_is_no_silence(asked: Callable[..., list[str]]) -> None:
    asked(postgres=ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        verify(OWN)


def test_every_address_that_is_loaded_or_changed_is_told() -> None:
    found = replace(
        OWN,
        kafka_bootstrap="a:1, b:2",
        sink_dsn="host=sink port=7",
        connect_url="https://c/path",
        connect_metrics="http://m:9404/metrics",
    )

    assert hosts(found, {}) == [
        *("127.0.0.1:1", "sink:7", "a:1", "b:2"),
        *("127.0.0.1:3", "c:443", "m:9404"),
    ]
    assert hosts(Endpoints("external"), {}) == []
