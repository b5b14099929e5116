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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"*:*:*:*:right\n", "right"),
        (b"*:*:*:*:right\r\n", "right"),
        (b"*:*:*:*:right", "right"),
        ("*:*:*:*:se\u2028cr\x0cet\x85\x1c\n".encode(), "se\u2028cr\x0cet\x85\x1c"),
        (b"other:*:*:*:\xff\xfe\n*:*:*:*:right\n", "right"),
        ("*:*:*:*:p\u00e4ss\n".encode(), "p\u00e4ss"),
        (b"*:*:*:*:two words \n", "two words "),
        (b"*:*:*:*:\n", ""),
        (b"\n\n*:*:*:*:right\n", "right"),
        (b"#*:*:*:*:remark\n*:*:*:*:right\n", "right"),
    ],
)
def test_a_line_ends_where_libpq_ends_it_and_no_other_line_is_in_the_way(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    file = tmp_path / "pgpass"
    file.write_bytes(content)

    assert password(PLACE, {"PGPASSFILE": str(file)}) == expected


@pytest.mark.parametrize("field", range(4))
def test_every_field_has_to_fit(tmp_path: Path, field: int) -> None:
    fields = ["db.example", "5433", "shop", "bench"]
    file = tmp_path / "pgpass"
    file.write_text(":".join([*fields, "right"]), encoding="utf-8")
    assert password(PLACE, {"PGPASSFILE": str(file)}) == "right"

    fields[field] += "x"
    file.write_text(":".join([*fields, "wrong"]), encoding="utf-8")

    assert password(PLACE, {"PGPASSFILE": str(file)}) == ""


def test_a_star_that_is_escaped_is_no_wildcard(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text("\\*:*:*:*:wrong\n", encoding="utf-8")

    assert password({**PLACE, "host": "*"}, {"PGPASSFILE": str(file)}) == "wrong"
    assert password(PLACE, {"PGPASSFILE": str(file)}) == ""
