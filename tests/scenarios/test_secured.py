"""A pipeline whose servers all ask who comes: a run on it, and what is said to who may not."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from cdc_users.options.described import SHIPPED
from cdc_users.pipeline.__main__ import main
from infra.client.kafka import kafka_settings
from tests.recording_proxy import recording_proxy
from tests.scenarios.locust_process import LocustProcess
from tests.scenarios.secured_stack import SecuredStack, secured_stack
from tests.tls import tls_files


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredStack]:
    """One secured stack for all tests of this file."""
    with secured_stack(tmp_path_factory.mktemp("secured") / "checkout") as stack:
        yield stack


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_run_passes_and_no_secret_is_seen_anywhere(
    secured: SecuredStack, results: Path, tmp_path: Path
) -> None:
    file = written(tmp_path, secured.pipeline())

    with recording_proxy() as (proxies, asked):
        options = ("--rows", "50", "--pipeline", file)
        run = LocustProcess("throughput", results, *options, environment=proxies)
        run.await_output("benchmark.step")
        processes = [*run.family(), *secured.servers()]
        told = "".join(f"{one.cmdline()} {one.environ()}" for one in processes)
        assert run.wait() == 0, run.output
        assert asked == []

    (step,) = run.result()["steps"]
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 50
    with next(results.glob("*/samples.csv")).open(encoding="utf-8", newline="") as samples:
        queue = {row["debezium_queue_remaining"] for row in csv.DictReader(samples)}
    assert {float(room) > 0 for room in queue if room} == {True}, "Debezium's own metrics"
    words, keys = secured.words(), secured.keys()
    assert len(words) == 6
    assert len(keys) >= 2, "those of the servers and of a client"
    logs = [*secured.root.glob(".stack/logs/*"), secured.root / ".stack" / "endpoints.json"]
    files = [path for path in (*results.rglob("*"), *logs) if path.is_file()]
    text = b"\n".join(path.read_bytes() for path in files) + (run.output + told).encode()
    assert [word for word in words | keys if word.encode() in text] == []


def test_debezium_server_reads_and_writes_databases_that_take_tls_alone(
    secured: SecuredStack, results: Path, tmp_path: Path
) -> None:
    shipped = (SHIPPED / "debezium-server-jdbc.toml").read_text(encoding="utf-8")
    file = written(tmp_path, f'{shipped}\n[source]\ndsn = "{secured.endpoints.postgres_dsn}"\n')

    run = LocustProcess("throughput", results, "--rows", "50", "--pipeline", file)

    assert run.wait() == 0, run.output
    (step,) = run.result()["steps"]
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 50


def test_check_finds_every_part_and_says_that_all_is_right(
    secured: SecuredStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", written(tmp_path, secured.pipeline())]) == 0

    told = capsys.readouterr().out
    assert "TLS yes" in told
    assert "1 broker(s)" in told
    assert "no problems" in told


def wrong(secured: SecuredStack, tmp_path: Path, what: str) -> str:
    """The file with one thing as it should not be."""
    properties = Path(secured.endpoints.kafka_properties).read_text(encoding="utf-8")
    other = tls_files(tmp_path, "other").authority
    ca = str(secured.secrets / "ca.pem")
    mine = tmp_path / "client.properties"
    dsn = secured.endpoints.postgres_dsn
    if what == "kafka password":
        line = next(line for line in properties.splitlines() if "sasl.password" in line)
        mine.write_text(properties.replace(line, "sasl.password=wrong"), encoding="utf-8")
        return secured.pipeline(properties=str(mine))
    if what == "kafka authority":
        mine.write_text(properties.replace(ca, str(other)), encoding="utf-8")
        return secured.pipeline(properties=str(mine))
    if what == "no login to kafka":
        mine.write_text("client.id=nobody\n", encoding="utf-8")
        return secured.pipeline(properties=str(mine))
    if what == "postgres authority":
        return secured.pipeline(dsn=dsn.replace(ca, str(other)))
    if what == "postgres without tls":
        return secured.pipeline(dsn=dsn.replace("verify-full", "disable"))
    if what == "no login to the registry":
        return secured.pipeline(registry="user password_file")
    return secured.pipeline(connect="certificate")


@pytest.mark.parametrize(
    ("what", "remedy"),
    [
        ("kafka password", "check sasl.mechanism, sasl.username and sasl.password in"),
        ("kafka authority", "check security.protocol and ssl.ca.location in"),
        ("no login to kafka", "security.protocol"),
        ("postgres authority", "name the authority that signed its certificate as sslrootcert="),
        ("postgres without tls", "write sslmode=verify-full"),
        ("no login to the registry", "CDC_SCHEMA_REGISTRY_USER"),
        ("no certificate for connect", "CDC_CONNECT_CERTIFICATE"),
    ],
)
def test_who_may_not_in_is_told_why_and_what_to_do(
    secured: SecuredStack,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
    remedy: str,
) -> None:
    assert main(["check", written(tmp_path, wrong(secured, tmp_path, what))]) == 3

    told = capsys.readouterr().out
    assert remedy in told
    assert "1 problem(s)" in told


def test_a_run_that_is_not_let_in_ends_with_3_and_creates_nothing(
    secured: SecuredStack, results: Path, tmp_path: Path
) -> None:
    before = objects(secured)
    file = written(tmp_path, wrong(secured, tmp_path, "kafka password"))

    run = LocustProcess("throughput", results, "--rows", "50", "--pipeline", file)

    assert run.wait() == 3, run.output
    assert "sasl.password" in run.output
    assert objects(secured) == before


def objects(secured: SecuredStack) -> tuple[set[str], int]:
    """The topics, and how many slots, publications and schemas there are."""
    places = secured.endpoints
    settings = kafka_settings(places.kafka_bootstrap, None, places.environment({}))
    topics = set(AdminClient(settings).list_topics(timeout=10).topics)
    with psycopg.connect(places.postgres_dsn) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM"
            " pg_publication) + (SELECT count(*) FROM pg_namespace)"
        ).fetchone()
    assert row is not None
    return topics, int(row[0])
