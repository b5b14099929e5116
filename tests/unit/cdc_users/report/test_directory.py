"""What a result says of the machine and the revision is this checkout's, and shares no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdc_users.report import directory


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `git` first on PATH that writes down its environment and names a revision."""
    seen = tmp_path / "environment"
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\nenv > '{seen}'\necho 0123456789ab\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return seen


def test_git_is_asked_for_this_checkouts_revision_whatever_the_environment_names(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/somewhere/else/.git")
    monkeypatch.setenv("PGPASSWORD", "kept-to-ourselves")
    found = directory.environment({}, {})
    assert found["revision"] == "0123456789ab"
    told = asked.read_text(encoding="utf-8")
    assert "GIT_DIR" not in told
    assert "kept-to-ourselves" not in told


def test_a_checkout_without_git_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert directory.environment({}, {})["revision"] is None
