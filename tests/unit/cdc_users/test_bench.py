"""What `make bench` is asked for is checked before the stack is up and before anything is
written.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_users.bench import MODULES, check, command_of, main, parser
from cdc_users.error import OptionsError


def checked(*arguments: str, **environ: str) -> tuple[str, ...]:
    return check(parser().parse_args(arguments), environ)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), tuple(MODULES)),
        (("--only", "throughput, wal"), ("throughput", "wal")),
        (("--only", "wal,throughput,wal"), ("wal", "throughput")),
    ],
)
def test_each_module_that_is_named_runs_once(
    arguments: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert checked(*arguments) == expected


@pytest.mark.parametrize(
    ("module", "test"),
    [
        ("throughput", "test_throughput.py"),
        ("latency", "test_sink_latency.py"),
        ("backpressure", "test_backpressure.py"),
        ("partitions", "test_multi_partition.py"),
        ("wal", "test_wal.py"),
    ],
)
def test_a_scenario_runs_by_the_thin_test_that_names_it(module: str, test: str) -> None:
    assert command_of(module)[-1] == f"tests/benchmark/{test}"


def test_a_scenario_without_a_thin_test_runs_as_it_is() -> None:
    assert command_of("waves")[-3:] == ["locustfiles/waves.py", "--headless", "--only-summary"]


def test_every_locustfile_is_a_module() -> None:
    assert MODULES == (
        "backpressure",
        "capacity",
        "faults",
        "latency",
        "partitions",
        "throughput",
        "wal",
    )


@pytest.mark.parametrize("only", ["", ",", "nothing", "throughput,nothing"])
def test_a_name_that_is_no_module_is_refused(only: str) -> None:
    with pytest.raises(OptionsError, match=f"--only '{only}' names no module"):
        checked("--only", only)


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(OptionsError) as caught:
        checked("--only", "x", "--results", "/proc/x", CDC_RATE="abc", CDC_STACK="/nowhere.toml")

    told = str(caught.value)
    assert [line.split()[0] for line in told.splitlines()] == [
        "CDC_RATE:",
        "--only",
        "CDC_STACK=/nowhere.toml",
        "--results",
    ]


def test_a_server_off_this_machine_must_be_allowed() -> None:
    servers = {
        "CDC_POSTGRES_DSN": "host=127.0.0.1",
        "CDC_KAFKA_BOOTSTRAP": "192.0.2.9:9092",
        "CDC_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1",
        "CDC_CONNECT_URL": "http://127.0.0.1:1",
    }

    with pytest.raises(OptionsError, match=r"--allow-target 192\.0\.2\.9:9092"):
        checked(**servers)
    assert checked(**servers, CDC_ALLOW_TARGET="192.0.2.9:9092") == tuple(MODULES)


def test_a_refusal_ends_with_2_and_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CDC_STACK", str(tmp_path / "nowhere.toml"))

    assert main(["--results", str(tmp_path / "results")]) == 2
    assert "nowhere.toml cannot be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_results_that_are_a_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("", encoding="ascii")

    with pytest.raises(OptionsError, match="name a directory that can be written to"):
        checked("--results", str(file))
