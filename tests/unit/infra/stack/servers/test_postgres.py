"""PostgreSQL's programs are those that are meant, and new enough."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.stack.error import StackConfigError
from infra.stack.servers.postgres import account, dsn, find_binaries, home, version
from infra.stack.servers.server import Account


def program(place: Path, says: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    file = place / "postgres"
    file.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return place


@pytest.mark.parametrize(
    ("says", "number"),
    [
        ("postgres (PostgreSQL) 18.4", "18.4"),
        ("postgres (PostgreSQL) 14.0", "14.0"),
        ("postgres (PostgreSQL) 16.9 (Debian 16.9-1.pgdg12+1)", "16.9"),
        ("postgres (PostgreSQL) 19beta1", "19beta1"),
        ("postgres (PostgreSQL) 19devel", "19devel"),
    ],
)
def test_a_version_is_read_also_of_a_test_release(tmp_path: Path, says: str, number: str) -> None:
    assert version(program(tmp_path / "größe bin", says)) == number


@pytest.mark.parametrize("number", ["13.22", "9.6.24", "13rc1", "unknown"])
def test_a_version_that_is_too_old_is_told_with_where_it_is(tmp_path: Path, number: str) -> None:
    with pytest.raises(StackConfigError) as told:
        version(program(tmp_path, f"postgres (PostgreSQL) {number}"))

    assert str(told.value) == (
        f"PostgreSQL {number} in {tmp_path} is too old, version 14 or newer is needed; name another"
        " directory in CDC_POSTGRES_BIN, or unset it to use the server that is included"
    )


def test_programs_of_the_users_own_are_found_behind_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = program(tmp_path / "lib" / "18" / "bin", "x")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").symlink_to(real / "postgres")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert find_binaries({"CDC_POSTGRES_BIN": str(tmp_path / "bin")}) == real
    assert find_binaries({"CDC_POSTGRES_BIN": "system"}) == real


@pytest.mark.parametrize("wanted", ["system", "/nowhere", "größe"])
def test_programs_that_are_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackConfigError) as told:
        find_binaries({"CDC_POSTGRES_BIN": wanted})

    assert str(told.value) == (
        f"CDC_POSTGRES_BIN={wanted!r} has no postgres in it; unset it to use the server that is"
        " included"
    )


def test_a_dsn_names_files_and_no_secret() -> None:
    plain = {"host": "127.0.0.1", "port": "5", "user": "postgres", "dbname": "postgres"}
    passfile, authority = Path("/a b/it's"), Path("/ca.pem")

    assert conninfo_to_dict(dsn(5)) == plain
    assert conninfo_to_dict(dsn(5, passfile)) == {**plain, "passfile": "/a b/it's"}
    assert conninfo_to_dict(dsn(5, passfile, authority)) == {
        **plain,
        "passfile": "/a b/it's",
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
    }


def test_root_runs_postgres_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert account() is None

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    nobody = pwd.getpwnam("nobody")
    assert account() == Account(nobody.pw_uid, nobody.pw_gid)


def test_a_cluster_of_another_account_lies_where_that_account_may_look(tmp_path: Path) -> None:
    assert home(tmp_path, None) == tmp_path / "postgres"

    places = {home(tmp_path, Account(1, 1)) for _ in range(2)}
    assert len(places) == 2
    assert not any(tmp_path in place.parents or place.exists() for place in places)
