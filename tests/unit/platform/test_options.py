"""Mistakes on the platform's command line, each found before any server is touched."""

from __future__ import annotations

import pytest

from infra.platform.options import mistakes, parser

GIVEN = ("--bootstrap=127.0.0.1:1", "--topic=t", "--group=g")


def found(*arguments: str) -> list[str]:
    return mistakes(parser().parse_args([*GIVEN, "--schema-registry=http://127.0.0.1:1", *arguments]))


def postgres(table: str) -> list[str]:
    return found("--sink=postgres", "--postgres-dsn=host=127.0.0.1", f"--postgres-table={table}")


def test_a_table_whose_offsets_name_fits_is_taken() -> None:
    assert postgres(f"{'s' * 63}.{'t' * 55}") == []


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (f"s.{'t' * 56}", "would cut it with _offsets behind it"),
        (f"s.{'ü' * 28}", "longer than 55 bytes"),
        (f"{'s' * 64}.t", "longer than 63 bytes"),
    ],
)
def test_a_name_that_postgres_would_cut_is_a_mistake(table: str, said: str) -> None:
    (mistake,) = postgres(table)

    assert said in mistake
