"""What a message advises is there: each option, variable, command, target and page that it names.

A remedy that does not exist is worse than none. So all texts of the product are searched, and what
they name is asked of the programs themselves.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cdc_users.options.options import OPTIONS
from infra.client.access import (
    CONNECT_PREFIX,
    HTTP_FIELDS,
    NATS_PREFIX,
    REDIS_PREFIX,
    REGISTRY_PREFIX,
    WEBHOOK_PREFIX,
)
from infra.client.environment import ROOT, for_python, module_command
from infra.mariadb.address import PREFIX as MARIADB_PREFIX

OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])")
VARIABLE = re.compile(r"\bCDC_[A-Z_]*[A-Z]\b")
MODULE = re.compile(r"python -m ([a-z_.]*[a-z])")
TARGET = re.compile(r"(?:`|\()make ([a-z-]+)")
PAGE = re.compile(r"\bdocs/[a-z_/-]+\.md")
#: Programs of ours whose options a message may name.
PROGRAMS = (
    ("locust", "-f", "locustfiles/throughput.py", "--help"),
    ("infra.stack", "up", "--help"),
    ("infra.platform", "--help"),
    ("infra.platform.wal", "--help"),
    ("cdc_users.bench", "--help"),
    ("cdc_users.report", "--help"),
    ("cdc_users.pipeline", "init", "--help"),
)
#: Options of other programs in our texts.
FOREIGN = {
    "ulimit": "docker run",
    "shm-size": "docker run",
    "no-locale": "initdb",
    "reset-offsets": "kafka-consumer-groups",
    "to-earliest": "kafka-consumer-groups",
    "headful": "locust, which hides it",
}


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Every text with a space in it, that is every message and docstring, with its file."""
    return tuple(
        (str(path.relative_to(ROOT)), node.value)
        for room in ("infra", "cdc_users")
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    )


def named(pattern: re.Pattern[str]) -> dict[str, set[str]]:
    """What the texts name, and in which files."""
    found: dict[str, set[str]] = {}
    for file, text in texts():
        for name in pattern.findall(text):
            found.setdefault(name, set()).add(file)
    return found


def told_by(module: str, *arguments: str) -> str:
    """What a program of ours prints; it must not fail."""
    done = subprocess.run(
        module_command(module, *arguments),
        cwd=ROOT,
        env=for_python(os.environ) | {"COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (module, done.stderr)
    return done.stdout


def test_every_option_that_a_message_names_is_one() -> None:
    known = {name for program in PROGRAMS for name in OPTION.findall(told_by(*program))}
    known |= {option.flag.removeprefix("--") for option in OPTIONS}

    unknown = {
        name: files
        for name, files in named(OPTION).items()
        if name not in known and name not in FOREIGN
    }
    assert not unknown
    assert set(FOREIGN) <= set(named(OPTION))


def constants() -> Iterator[str]:
    """Every text without a space: names that the product asks for."""
    for room in ("infra", "cdc_users"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_variable_that_a_message_names_is_read() -> None:
    read = {*constants(), *(f"CDC_{option.name.upper()}" for option in OPTIONS)}
    of_access = (*(name.upper() for name in HTTP_FIELDS), "PASSWORD", "TOKEN")
    prefixes = (REGISTRY_PREFIX, CONNECT_PREFIX, WEBHOOK_PREFIX, MARIADB_PREFIX)
    read |= {f"{prefix}_{name}" for prefix in prefixes for name in of_access}
    streams = (REDIS_PREFIX, NATS_PREFIX)
    read |= {f"{prefix}_{name}" for prefix in streams for name in (*of_access, "URL")}

    assert not {name: files for name, files in named(VARIABLE).items() if name not in read}


@pytest.mark.parametrize("module", sorted(named(MODULE)))
def test_every_command_that_a_message_names_can_be_run(module: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
    assert spec is not None
    assert spec.origin is not None
    assert '__name__ == "__main__"' in Path(spec.origin).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["up", "down", "status", "logs", "env", "compose"])
def test_the_stacks_commands_explain_themselves(command: str) -> None:
    assert command in told_by("infra.stack", command, "--help")


@pytest.mark.parametrize("target", sorted({*named(TARGET)}))
def test_every_target_that_a_message_names_is_one(target: str) -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(f"{target}:")]


@pytest.mark.parametrize("page", sorted(named(PAGE)))
def test_every_page_that_a_message_names_is_there(page: str) -> None:
    assert (ROOT / page).is_file()
