"""Emulators are kept as they were made, run for a block, and give way to a user's own service."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.stack.emulators.emulator import kept, named_or_own, running
from infra.stack.emulators.kinesis import _reason, _with_certificates
from infra.stack.emulators.kinesis_lock import plain
from infra.stack.error import StackError
from infra.stack.servers.port import free_ports
from infra.stack.servers.server import Recipe

#: Answers on its port until it is asked to end.
SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        server.accept()[0].close()
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "main.go"
    path.write_text("one", encoding="utf-8")
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"CDC_CACHE_DIR": str(tmp_path / "cache")}


def maker(made: list[Path]) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        made.append(directory)
        (directory / "binary").write_text((directory / "main.go").read_text(), encoding="utf-8")

    return make


def test_an_emulator_is_made_once_for_each_state_of_its_sources(
    source: Path, environ: dict[str, str]
) -> None:
    made: list[Path] = []
    first = kept("größe", [source], maker(made), environ)
    assert kept("größe", [source], maker(made), environ) == first
    assert len(made) == 1

    source.write_text("two", encoding="utf-8")
    second = kept("größe", [source], maker(made), environ)

    assert first != second
    assert (first / "binary").read_text(encoding="utf-8") == "one"
    assert (second / "binary").read_text(encoding="utf-8") == "two"
    assert not any(path.exists() for path in made)


def test_two_sources_that_have_changed_names_are_another_state(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    made: list[Path] = []
    for names in (("main.go", "b"), ("main.go", "c")):
        files = [tmp_path / name for name in names]
        for file in files:
            file.write_text("x", encoding="utf-8")
        kept("e", files, maker(made), environ)

    assert len(made) == 2


def test_one_that_cannot_be_made_leaves_nothing_and_is_tried_again(
    source: Path, environ: dict[str, str]
) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("", encoding="utf-8")
        raise StackError("no compiler")

    with pytest.raises(StackError, match="no compiler"):
        kept("e", [source], fail, environ)

    assert list((Path(environ["CDC_CACHE_DIR"]) / "emulators").iterdir()) == []
    made: list[Path] = []
    kept("e", [source], maker(made), environ)
    assert len(made) == 1


@pytest.mark.parametrize("how", ["altered", "gone", "added"])
def test_one_that_somebody_has_altered_is_made_again(
    source: Path, environ: dict[str, str], how: str
) -> None:
    made: list[Path] = []
    target = kept("e", [source], maker(made), environ)
    binary = target / "binary"
    if how == "gone":
        binary.unlink()
    else:
        (binary if how == "altered" else target / "more").write_text("evil", encoding="utf-8")

    assert kept("e", [source], maker(made), environ) == target

    assert len(made) == 2
    assert sorted(path.name for path in target.iterdir()) == ["binary", "main.go"]
    assert binary.read_text(encoding="utf-8") == "one"


def recipe(port: int, code: str = SERVER) -> Recipe:
    return Recipe(
        "emulator",
        [sys.executable, "-c", code, str(port)],
        probe=lambda: socket.create_connection(("127.0.0.1", port), 1.0).close(),
        prepare=lambda: None,
    )


def test_a_service_of_the_users_own_is_taken_as_it_is(tmp_path: Path) -> None:
    def never(_: int) -> Recipe:
        raise AssertionError

    with named_or_own("OWN", {"OWN": "größe:1"}, tmp_path / "logs", never, "x://") as address:
        assert address == "größe:1"
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("environ", [{}, {"OWN": ""}])
def test_an_emulator_lives_as_long_as_its_block(tmp_path: Path, environ: dict[str, str]) -> None:
    ports: list[int] = []

    def at(port: int) -> Recipe:
        ports.append(port)
        return recipe(port)

    with named_or_own("OWN", environ, tmp_path / "new" / "logs", at, "x://") as address:
        assert address == f"x://127.0.0.1:{ports[0]}"
        recipe(ports[0]).probe()

    with pytest.raises(ConnectionRefusedError):
        recipe(ports[0]).probe()
    assert (tmp_path / "new" / "logs" / "emulator.log").exists()


def test_an_emulator_ends_with_its_block_also_when_that_fails(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    with pytest.raises(KeyError), running(recipe(port), tmp_path):
        raise KeyError

    with pytest.raises(ConnectionRefusedError):
        recipe(port).probe()


def test_one_that_dies_is_told_with_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(StackError, match=r"(?s)emulator ended with 3.*no port"),
        running(recipe(1, "import sys; print('no port'); sys.exit(3)"), tmp_path),
    ):
        raise AssertionError


def test_one_that_was_killed_meanwhile_is_no_failure_of_its_end(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with running(recipe(port), tmp_path) as server:
        server.process.kill()
        server.process.wait()

    assert server.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("npm error code E404\nnpm error 404 http://u:p@mirror/x", "E404"),
        ("npm error network\nnpm error code ENOTFOUND\nnpm error code X", "ENOTFOUND"),
        ("npm error http://secret.example", "npm failed"),
        ("", "npm failed"),
    ],
)
def test_npms_words_are_told_by_their_code_and_no_address(said: str, reason: str) -> None:
    assert _reason(said) == reason


def test_node_trusts_what_the_other_processes_trust() -> None:
    known = {"SSL_CERT_FILE": "/a.pem"}

    assert _with_certificates(known) == {**known, "NODE_EXTRA_CA_CERTS": "/a.pem"}
    own = {**known, "NODE_EXTRA_CA_CERTS": "/own.pem"}
    assert _with_certificates(own) == own
    assert _with_certificates({"A": "b"}) == {"A": "b"}


def test_a_lock_has_no_address_and_nothing_that_is_optional() -> None:
    lock = {
        "name": "x",
        "version": "1",
        "lockfileVersion": 2,
        "dependencies": {"old": {}},
        "packages": {
            "": {"name": "x", "dependencies": {"a": "1"}},
            "node_modules/a": {
                "version": "1",
                "resolved": "https://registry.example/a.tgz",
                "integrity": "sha512-x",
                "funding": {"url": "https://a.example"},
            },
            "node_modules/b": {"version": "2", "optional": True},
        },
    }

    assert plain(lock) == {
        "name": "x",
        "version": "1",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {
            "": {"name": "x", "dependencies": {"a": "1"}},
            "node_modules/a": {"version": "1", "integrity": "sha512-x"},
        },
    }
