"""Mistakes on the platform's command line, each found before any server is touched."""

from __future__ import annotations

import pytest

from infra.platform.options import mistakes, parser
from infra.platform.wal import option as wal

SECRET = "hush"
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


def test_plain_addresses_are_taken() -> None:
    assert found("--sink=webhook", "--webhook-url=https://hooks.example:8443/T0?a=b") == []
    assert found("--sink=postgres", "--postgres-dsn=postgresql://bob@db:5432/x", "--postgres-table=a.b") == []


@pytest.mark.parametrize(
    "argument",
    [
        f"--webhook-url=http://bob:{SECRET}@127.0.0.1/",
        f"--webhook-url=http://{SECRET}@127.0.0.1/",
        f"--webhook-url=ftp://bob:{SECRET}@127.0.0.1/",
        f"--webhook-url=http://bob:{SECRET}/@127.0.0.1/",
        f"--schema-registry=http://bob:{SECRET}@127.0.0.1:1",
        f"--postgres-dsn=host=db password={SECRET}",
        f"--postgres-dsn=host=db password=my {SECRET}",
        f"--postgres-dsn=postgresql://bob:{SECRET}@db/x",
        f"--postgres-dsn=postgresql://bob:{SECRET}/@db/x",
        f"--postgres-dsn=postgresql://db/x?sslpassword={SECRET}",
    ],
)
def test_a_secret_on_the_command_line_is_a_mistake_and_not_repeated(argument: str) -> None:
    (mistake,) = found(argument)

    assert mistake.startswith(argument.partition("=")[0])
    assert SECRET not in mistake


@pytest.mark.parametrize(
    "arguments",
    [
        (f"--dsn=host=db password={SECRET}",),
        (f"--dsn=host=db password=my {SECRET}",),
        ("--dsn=host=db", "--transport=kinesis", f"--endpoint=http://bob:{SECRET}@127.0.0.1:1"),
    ],
)
def test_nor_does_the_direct_reader_take_one(arguments: tuple[str, ...]) -> None:
    (mistake,) = wal.mistakes(wal.parser("reader").parse_args([*arguments, "--slot=s", "--publication=p"]))

    assert SECRET not in mistake
