"""The password that libpq would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.client.passfile import password

PLACE = {"host": "db.example", "port": "5433", "dbname": "shop", "user": "bench"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["db.example:5433:shop:bench:right"], "right"),
        (["*:*:*:*:any", "db.example:5433:shop:bench:later"], "any"),
        (["# a remark", "other:5433:shop:bench:wrong", "*:5433:*:bench:right"], "right"),
        ([r"db.example:5433:shop:bench:a\:b\\c"], r"a:b\c"),
        (["db.example:5433:shop:bench:a:b:c"], "a:b:c"),
        (["db.example:5432:shop:bench:wrong"], ""),
        (["db.example:5433:shop"], ""),
        ([], ""),
    ],
)
def test_the_first_line_that_fits_has_it(tmp_path: Path, lines: list[str], expected: str) -> None:
    file = tmp_path / "pgpass"
    file.write_text("\n".join(lines), encoding="utf-8")

    assert password(PLACE, {"PGPASSFILE": str(file)}) == expected
    assert password({**PLACE, "passfile": str(file)}, {}) == expected


def test_the_variable_goes_before_the_file_and_the_home_is_looked_in_last(tmp_path: Path) -> None:
    (tmp_path / ".pgpass").write_text("*:*:*:*:home\n", encoding="utf-8")

    assert password(PLACE, {"HOME": str(tmp_path)}) == "home"
    assert password(PLACE, {"HOME": str(tmp_path), "PGPASSWORD": "given"}) == "given"
    assert password(PLACE, {"HOME": str(tmp_path / "none")}) == ""


def test_what_a_line_leaves_to_the_environment_is_taken_from_there(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text("db.example:6000:bench:bench:right\n", encoding="utf-8")
    environ = {"PGPASSFILE": str(file), "PGPORT": "6000", "PGUSER": "bench"}

    assert password({"host": "db.example"}, environ) == "right"
