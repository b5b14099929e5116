"""Passwords are in files of their user alone, and in nothing that is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.client.passfile import password
from infra.stack.servers.password import OWNER, make_passwords, write_private


@pytest.fixture
def loose_umask() -> object:
    before = os.umask(0)
    yield before
    os.umask(before)


def test_passwords_differ_and_are_shown_nowhere(tmp_path: Path) -> None:
    one, other = make_passwords(tmp_path), make_passwords(tmp_path)

    found = {one.owner, one.reader, other.owner, other.reader}
    assert len(found) == 4
    assert all(len(text) == 48 for text in found)
    assert not any(text in repr(one) for text in found)


def test_the_owners_password_is_found_by_libpqs_rules_at_each_port(
    tmp_path: Path, loose_umask: object
) -> None:
    made = make_passwords(tmp_path / "secrets")

    made.write(5432, 6000)

    for port in ("5432", "6000"):
        place = {"host": "127.0.0.1", "port": port, "user": OWNER, "dbname": "any"}
        assert password({**place, "passfile": str(made.passfile)}, {}) == made.owner
    assert made.properties.read_text(encoding="utf-8") == f"secret={made.reader}\n"
    assert made.reference == f"${{file:{made.properties}:secret}}"


def test_nobody_else_reads_them_whatever_the_umask_is(tmp_path: Path, loose_umask: object) -> None:
    made = make_passwords(tmp_path / "secrets")
    made.write(1)

    modes = {path.name: path.stat().st_mode & 0o777 for path in (made.passfile, made.properties)}
    assert modes == {"pgpass": 0o600, "connect.properties": 0o600}
    assert made.directory.stat().st_mode & 0o777 == 0o700


def test_a_file_that_somebody_has_laid_out_is_not_written_into(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (tmp_path / "elsewhere").write_text("", encoding="utf-8")
    trap.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        write_private(trap, "secret")

    assert (tmp_path / "elsewhere").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("content", ["größe\n", "größe\n".encode()])
def test_text_and_octets_are_written_as_they_are(tmp_path: Path, content: str | bytes) -> None:
    write_private(tmp_path / "a", content)

    assert (tmp_path / "a").read_bytes() == b"gr\xc3\xb6\xc3\x9fe\n"
