"""A stack in places that are not as at home: odd names, a user without one, low limits, no home."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.servers.limit import NEEDED_FILES
from infra.stack.supervise.state import CHECKOUT, read_endpoints, recorded
from tests.integration.test_stack_trouble import Checkout

#: What Java properties, comma lists, URLs, class paths, option files, shells and SQL trip over.
ODD = 'ä, #1 it\'s "100%" {x} $HOME;&'


def environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout)}


def test_a_stack_and_a_run_in_a_directory_with_an_odd_name(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / ODD)
    for room in ("cdc_users", "locustfiles"):
        shutil.copytree(CHECKOUT / room, checkout.root / room)
    try:
        up = checkout.stack("up", "--profile", "test")
        assert up.returncode == 0, up.stdout + up.stderr
        endpoints = read_endpoints(checkout.state)
        assert isinstance(endpoints, Endpoints)

        options = ("--sinks", "iceberg", "--records", "50", "--smoke", "yes", "--headless")
        run = subprocess.run(
            [sys.executable, "-m", "locust", "-f", "locustfiles/latency.py", *options],
            cwd=checkout.root,
            env=environment(checkout.root),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
    finally:
        _, places = recorded(checkout.state)
        down = checkout.stack("down")
    assert down.returncode == 0, down.stderr
    assert not [place for place in places if place.exists()]
    assert checkout.left() == ["runs", "users"]


def test_a_user_without_a_name_brings_a_stack_up(tmp_path: Path) -> None:
    unnamed = ("unshare", "-U", "--map-user=54321", "--map-group=54321")
    if subprocess.run([*unnamed, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system has no user namespaces")
    checkout = Checkout(tmp_path / "checkout")
    command = [*unnamed, sys.executable, "-m", "infra.stack"]
    try:
        done = subprocess.run(
            [*command, "up", "--profile", "test"],
            cwd=checkout.root,
            env=environment(checkout.root),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        subprocess.run(
            [*command, "down"], cwd=checkout.root, env=environment(checkout.root), check=False
        )
    assert checkout.left() == []


def test_too_few_open_files_are_named_before_anything_starts(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    few = NEEDED_FILES - 1

    done = subprocess.run(
        [sys.executable, "-m", "infra.stack", "up"],
        cwd=checkout.root,
        env=environment(checkout.root),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few)),
    )

    assert done.returncode == 2
    assert f"may open {few} files" in done.stderr
    assert f"ulimit -Hn {NEEDED_FILES}" in done.stderr
    assert checkout.left() == []


def test_no_home_is_named_with_the_remedy(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    done = checkout.stack("up", HOME="", XDG_CACHE_HOME="", CDC_CACHE_DIR="")

    assert done.returncode == 2
    assert "HOME is not set" in done.stderr
    assert "CDC_CACHE_DIR" in done.stderr
    assert checkout.left() == []


def test_a_home_that_cannot_be_written_to_is_named_with_the_remedy(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    home = tmp_path / "home"
    home.touch()  # nobody can make a directory in a file, root neither

    done = checkout.stack("up", HOME=str(home), XDG_CACHE_HOME="", CDC_CACHE_DIR="")

    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot be written to" in done.stderr
    assert "CDC_CACHE_DIR" in done.stderr
    assert checkout.left() == []
