"""Mistakes on the platform's command line, each found before any server is touched."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from infra.platform.options import mistakes, parser
from infra.platform.wal import option as wal
from infra.platform.wal.__main__ import main as read

SECRET = "hush"
GIVEN = ("--bootstrap=127.0.0.1:1", "--topic=t", "--group=g")


def found(*arguments: str) -> list[str]:
    return mistakes(
        parser().parse_args([*GIVEN, "--schema-registry=http://127.0.0.1:1", *arguments]), {}
    )


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
    assert (
        found(
            "--sink=postgres", "--postgres-dsn=postgresql://bob@db:5432/x", "--postgres-table=a.b"
        )
        == []
    )


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
    (mistake,) = wal.mistakes(
        wal.parser("reader").parse_args([*arguments, "--slot=s", "--publication=p"]), {}
    )

    assert SECRET not in mistake


SQUARED = "\N{SUPERSCRIPT TWO}"
ICEBERG = ("--sink=iceberg", "--iceberg-table=a.b")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bootstrap=nonsense",), "--bootstrap 'nonsense' is not HOST:PORT"),
        (("--schema-registry=nonsense",), "--schema-registry is not an http or https address"),
        (("--topic=",), "--topic '' is no name of a topic"),
        (("--topic=a,b c",), "--topic 'b c' is no name of a topic"),
        (("--dead-letter-topic=b c",), "--dead-letter-topic 'b c' is no name of a topic"),
        (("--group=",), "--group '' names no consumer group"),
        (("--telemetry-port=99999",), "--telemetry-port '99999'"),
        (
            (f"--batch-size={SQUARED}",),
            f"--batch-size '{SQUARED}' is not a whole number of at least 1",
        ),
        (
            ("--sink=webhook", "--webhook-url=http://"),
            "--webhook-url is not an http or https address",
        ),
        (
            ("--sink=postgres", "--postgres-table=a.b", "--postgres-dsn=nonsense"),
            "--postgres-dsn cannot be parsed",
        ),
        (
            ("--sink=postgres", "--postgres-table=a.b", "--postgres-dsn=dbname=shop"),
            "--postgres-dsn has no host",
        ),
        ((*ICEBERG, f"--iceberg-warehouse={__file__}"), "name a directory that can be written to"),
        ((*ICEBERG, "--iceberg-warehouse=/proc/x"), "name a directory that can be written to"),
    ],
)
def test_what_leads_nowhere_is_a_mistake(arguments: tuple[str, ...], said: str) -> None:
    (mistake,) = found(*arguments)

    assert said in mistake


def test_all_mistakes_are_told_together() -> None:
    told = found(
        "--bootstrap=nonsense",
        "--group=",
        "--telemetry-port=99999",
        "--sink=webhook",
        "--webhook-url=http://",
    )

    assert len(told) == 4


READER = ("--dsn=host=127.0.0.1", "--slot=s", "--publication=p")


def of_reader(*arguments: str, **environ: str) -> list[str]:
    return wal.mistakes(wal.parser("reader").parse_args([*READER, *arguments]), environ)


def test_a_reader_that_makes_its_own_objects_is_taken(tmp_path: Path) -> None:
    own = (
        "--create=public.a, public.b",
        f"--journal={tmp_path / 'journal'}",
        f"--state={tmp_path / 'position'}",
    )

    assert (
        of_reader(
            *own, "--transport=kafka", "--endpoint=127.0.0.1:1,[::1]:2", "--publication=Not There"
        )
        == []
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dsn=",), "--dsn has no host"),
        (("--dsn=host=127.0.0.1 service=prod",), "--dsn has service='prod'"),
        (("--slot=",), "--slot '' is no name of a slot"),
        (("--slot=Bad Slot \u00fc",), "--slot 'Bad Slot \u00fc' is no name of a slot"),
        (("--publication=",), "--publication '' is no name"),
        (("--telemetry-port=99999",), "--telemetry-port '99999'"),
        (
            (f"--partitions={SQUARED}",),
            f"--partitions '{SQUARED}' is not a whole number of at least 1",
        ),
        (("--state=/proc/x/y",), "--state '/proc/x/y' cannot be written"),
        (("--state=/proc/x",), "--state '/proc/x' cannot be written"),
        (("--create=a.b.c",), "--create 'a.b.c' is not SCHEMA.TABLE"),
        (("--create=a.",), "--create 'a.' is not SCHEMA.TABLE"),
        (("--create=,",), "--create ',' names no table"),
        (("--create=a.b", "--journal=/proc/x"), "--journal '/proc/x'"),
        (
            ("--transport=kafka", "--endpoint=nonsense"),
            "--endpoint HOST:PORT of a broker, not 'nonsense'",
        ),
        (("--transport=kafka",), "--endpoint HOST:PORT of a broker"),
        (("--transport=pubsub", "--endpoint=nonsense"), "--endpoint 'nonsense' is not HOST:PORT"),
    ],
)
def test_what_the_reader_cannot_use_is_a_mistake(arguments: tuple[str, ...], said: str) -> None:
    (mistake,) = of_reader(*arguments)

    assert said in mistake


@pytest.mark.parametrize(
    ("transport", "variable"),
    [("kinesis", "AWS_ENDPOINT_URL_KINESIS"), ("pubsub", "PUBSUB_EMULATOR_HOST")],
)
def test_an_endpoint_of_the_environment_is_checked_too(transport: str, variable: str) -> None:
    (mistake,) = of_reader(f"--transport={transport}", **{variable: "nonsense"})

    assert mistake.startswith(variable)


def test_the_environment_may_not_lead_the_reader_elsewhere() -> None:
    (mistake,) = of_reader(PGSERVICE="prod")

    assert "PGSERVICE=prod" in mistake


def test_a_reader_with_mistakes_ends_with_2_before_any_server_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert read(["--dsn", "", "--slot", "", "--publication", ""]) == 2
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        "--dsn",
        "--slot",
        "--publication",
    ]


@pytest.mark.parametrize("made", [parser(), wal.parser("reader")], ids=["platform", "reader"])
def test_help_has_what_holds_without_an_option(made: argparse.ArgumentParser) -> None:
    told = " ".join(made.format_help().split())
    optional = [
        action
        for action in made._actions
        if not action.required and action.default != argparse.SUPPRESS
    ]

    assert told.count("(default: ") == len(optional)
    for action in optional:
        assert f"(default: {action.default or 'none'})" in told
