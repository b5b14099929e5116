"""Locust's own options are refused where they do nothing, or would fail later in their own way."""

from __future__ import annotations

import socket
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdc_users.run.locust import options
from cdc_users.run.locust.options import (
    chosen_users,
    headless,
    mistakes,
    run_time,
    several,
    writers,
)
from infra.stack.servers.port import free_ports

pytestmark = pytest.mark.gevent


class Writer:
    """A user class that inserts."""


class Producer:
    """A user class that produces."""


class Shape:
    """A shape whose lanes can be two."""

    writer = Writer
    producer = Producer


class Plain:
    """A shape with one."""

    writer = Writer


def parsed(**changes: Any) -> Namespace:
    """A headless command line without any option that matters."""
    usual: dict[str, Any] = dict.fromkeys(
        (
            *("num_users", "spawn_rate", "host", "tags", "exclude_tags", "processes", "master"),
            *("user_classes", "html_file", "json_file", "csv_prefix", "logfile", "headful"),
            *("web_login", "web_base_path", "allow_web_host", "run_time", "duration", "stages"),
        )
    )
    usual |= {
        "headless": True,
        "autostart": False,
        "autoquit": -1,
        "expect_workers": 1,
        "locustfile": __file__,
        "metrics_port": "0",
        "web_host": "127.0.0.1",
        "web_port": 0,
        "master_bind_host": "*",
        "master_bind_port": 0,
        "rate": "",
    }
    return Namespace(**{**usual, **changes})


def told(**changes: Any) -> list[str]:
    return mistakes(parsed(**changes), [Shape])


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_command_line_that_names_nothing_of_locusts_has_no_mistake() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_users": 0}, "--users 0 does nothing here: a run's plan has lanes; use --lanes"),
        ({"spawn_rate": 1.5}, "--spawn-rate 1.5 does nothing here: all lanes begin at once;"),
        ({"host": "http://größe"}, "--host http://größe does nothing here: CDC_STACK names the"),
        ({"tags": ["a", "b"]}, "--tags a b would take the lanes' work away; leave it out"),
        ({"exclude_tags": ["a"]}, "--exclude-tags a would take the lanes' work away; leave it"),
        ({"processes": 2, "master": True}, "--master does nothing beside --processes"),
        ({"processes": -2}, "--processes -2 is not possible; name a number, or -1"),
        ({"master": True, "expect_workers": 0}, "--expect-workers 0 must be at least 1"),
        ({"autoquit": 0}, "--autoquit needs --autostart; add it, or leave both out"),
        (
            {"user_classes": ["Writer", "Other"]},
            "the user class Other is not one of the scenario's",
        ),
        (
            {"headless": False, "web_base_path": "cdc"},
            "--web-base-path cdc must begin with a slash",
        ),
    ],
)
def test_what_does_nothing_or_cannot_be_is_told_with_the_remedy(
    changes: dict[str, Any], said: str
) -> None:
    (mistake,) = told(**changes)

    assert mistake.startswith(said)


@pytest.mark.parametrize(
    "changes",
    [
        {"processes": -1},
        {"processes": 1},
        {"expect_workers": 0},
        {"autostart": True, "autoquit": 0},
        {"user_classes": ["Writer", "Producer"]},
        {"web_base_path": "cdc"},
        {"headless": False, "web_base_path": "/cdc"},
        {"tags": [], "exclude_tags": []},
    ],
)
def test_what_means_something_is_left_alone(changes: dict[str, Any]) -> None:
    assert told(**changes) == []


def test_all_mistakes_are_told_together() -> None:
    assert len(told(num_users=5, tags=["a"], processes=-5, autoquit=1)) == 4


def test_a_file_of_which_nothing_would_run_is_told(tmp_path: Path) -> None:
    idle = tmp_path / "idle, größe.py"
    other = tmp_path / "idle.py"
    for path in (idle, other):
        path.touch()

    named = f"{__file__} , {other}, {tmp_path}, {tmp_path / 'none.py'}"

    assert told(locustfile=named) == [
        f"-f {other} declares no scenario, so nothing of it would run; leave it out"
    ]


@pytest.mark.parametrize(
    ("name", "flag", "end"),
    [
        ("html_file", "--html", ""),
        ("json_file", "--json-file", ".json"),
        ("csv_prefix", "--csv", "_stats.csv"),
        ("logfile", "--logfile", ""),
    ],
)
def test_a_file_that_could_not_be_written_in_the_end_is_told_at_once(
    tmp_path: Path, name: str, flag: str, end: str
) -> None:
    place = tmp_path / "größe, #1"
    Path(f"{place}{end}").mkdir()

    assert told(**{name: str(place)}) == [
        f"{flag} {place}: {place}{end} is a directory; name another place"
    ]
    assert told(**{name: str(tmp_path / "fine")}) == []
    assert not (tmp_path / "fine").exists()


def test_a_log_needs_its_directory_and_other_files_do_not(tmp_path: Path) -> None:
    place = str(tmp_path / "new" / "a")

    assert told(logfile=place) == [
        f"--logfile {place}: its directory does not exist; make it first"
    ]
    assert told(html_file=place, csv_prefix=place, json_file=place) == []


def test_a_port_that_is_taken_is_told_where_somebody_would_listen(taken: int) -> None:
    assert told(metrics_port=str(taken)) == [
        f"--metrics-port {taken} is taken; name another, or 0 for any free one"
    ]
    assert told(metrics_port="no port") == []
    (free,) = free_ports(1)
    assert told(metrics_port=str(free)) == []
    (mistake,) = told(headless=False, metrics_port=str(taken), web_port=taken)
    assert mistake.startswith(f"--web-port {taken} is taken; name another, e.g. --web-port 8090")
    assert told(headless=False, web_port=free) == []
    (mistake,) = told(master=True, master_bind_host="127.0.0.1", master_bind_port=taken)
    assert mistake.startswith(f"--master-bind-port {taken} is taken; name another, here and as")
    assert told(master_bind_host="127.0.0.1", master_bind_port=taken) == []


@pytest.mark.parametrize("address", ["*", "", "0.0.0.0", "127.0.0.1"])
def test_a_port_is_looked_for_at_every_address_that_is_meant(taken: int, address: str) -> None:
    assert options._taken(address, taken)
    assert not options._taken(address, 0)


def test_an_address_that_cannot_be_had_is_not_judged_here() -> None:
    assert not options._taken("192.0.2.1", 80)


@pytest.mark.parametrize(
    ("alone", "shown", "begins"),
    [(True, False, True), (True, True, False), (False, False, False), (None, None, False)],
)
def test_a_page_goes_before_a_run_that_begins_by_itself(
    alone: bool | None, shown: bool | None, begins: bool
) -> None:
    assert headless(parsed(headless=alone, headful=shown)) is begins


def test_a_shape_has_the_users_that_it_declares() -> None:
    assert writers(Shape) == [Writer, Producer]
    assert writers(Plain) == [Writer]
    assert writers(object) == []


def test_several_scenarios_are_told_by_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    assert several([Shape, Plain]).endswith("name it: -f test_options.py")

    monkeypatch.chdir("/")
    assert several([Shape, Plain]) == (
        "these locustfiles hold 2 scenarios, and a run has one; name it: -f"
        f" {Path(__file__).relative_to('/')}"
    )


def test_locusts_run_time_is_taken_for_the_duration_of_an_open_loop() -> None:
    line = parsed(run_time=90, rate="500")

    assert run_time(line, "throughput", {}) == []
    assert (line.duration, line.run_time) == ("90s", None)
    assert run_time(parsed(), "throughput", {}) == []


@pytest.mark.parametrize(
    ("changes", "idle", "said"),
    [
        ({}, {}, "--run-time 90s needs --rate: other loads end when all is written; leave it out"),
        ({"rate": "5", "duration": "3s"}, {}, "--run-time 90s does nothing beside --duration;"),
        ({"rate": "5", "stages": "x"}, {}, "--run-time 90s does nothing beside --stages; leave"),
        (
            {"rate": "5"},
            {"duration": "its volumes end by themselves"},
            "--run-time 90s does nothing in throughput; its volumes end by themselves",
        ),
    ],
)
def test_a_run_time_that_would_do_nothing_is_told(
    changes: dict[str, Any], idle: dict[str, str], said: str
) -> None:
    line = parsed(run_time=90, **changes)

    (mistake,) = run_time(line, "throughput", idle)

    assert mistake.startswith(said)
    assert line.run_time == 90


@pytest.mark.parametrize(
    ("named", "told_so"),
    [
        (None, False),
        ([], False),
        (["Producer"], False),
        (["Writer", "Producer"], False),
        (["Writer"], True),
        (["Writer", "Other"], False),
    ],
)
def test_a_user_class_that_would_not_write_is_told(named: list[str] | None, told_so: bool) -> None:
    found = chosen_users(parsed(user_classes=named), Shape, "Producer")

    assert bool(found) is told_so
    assert "".join(found).startswith("these options write with Producer; " * told_so)
