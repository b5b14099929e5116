"""A MariaDB of the user's own, encrypted: audited by Debezium Server, and nothing of the run stays
in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infra.mariadb.address import MariadbAddress, connect_to
from infra.stack.servers.secured.certificate import StackCertificates, make_certificates
from tests.private_mariadb import PrivateMariadb, private_mariadb
from tests.scenarios.locust_process import LocustProcess

#: A first run fetches 708 MB.
FIRST_S = 600.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: Any) -> StackCertificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), "s3cret")


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any, certificates: StackCertificates) -> Iterator[PrivateMariadb]:
    """It takes encrypted connections alone."""
    with private_mariadb(tmp_path_factory.mktemp("mariadb"), certificates) as started:
        yield started


def databases(server: PrivateMariadb) -> list[str]:
    with closing(connect_to(server.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE 'cdc%'")
        return [name for (name,) in cursor.fetchall()]


def pipeline_file(path: Path, server: PrivateMariadb, authority: Path) -> Path:
    place = MariadbAddress.of(server.url)
    path.write_text(
        f'[source]\nkind = "mariadb"\ndsn = "mysql://{place.user}@{place.host}:{place.port}"\n'
        f'password_file = "{place.password_file}"\nca = "{authority}"\n'
        '[capture]\nkind = "debezium-server"\n[options]\ntransport = "http"\n',
        encoding="utf-8",
    )
    return path


def test_its_changes_are_audited_without_any_other_server_and_its_database_is_removed(
    server: PrivateMariadb, certificates: StackCertificates, results: Path, tmp_path: Path
) -> None:
    file = pipeline_file(tmp_path / "pipeline.toml", server, certificates.authority)
    mix = ("--mix", "insert=60,update=30,delete=10", "--tables", "2")
    run = LocustProcess("throughput", results, "--pipeline", str(file), "--rows", "500", *mix)

    assert run.wait(FIRST_S) == 0, run.output
    (step,) = run.result()["steps"]
    ledger = step["ledger"]
    assert step["messages"] == ledger["sent"] == ledger["delivered"] >= 500
    assert (ledger["lost"], ledger["duplicated"], ledger["corrupt"]) == (0, 0, 0)
    assert ledger["fences"] == "complete"
    assert "the stack" not in run.output
    assert databases(server) == []
    secret = Path(MariadbAddress.of(server.url).password_file).read_bytes()
    shown = [run.output.encode(), *(file.read_bytes() for file in files_of(results))]
    assert not any(secret in text for text in shown)


def files_of(place: Path) -> list[Path]:
    found = [path for path in place.rglob("*") if path.is_file()]
    assert len(found) > 10
    return found


def test_a_wrong_password_is_told_before_anything_is_created(
    server: PrivateMariadb, certificates: StackCertificates, results: Path, tmp_path: Path
) -> None:
    file = pipeline_file(tmp_path / "pipeline.toml", server, certificates.authority)
    (tmp_path / "wrong").write_text("wrong", encoding="utf-8")
    place = MariadbAddress.of(server.url).password_file
    text = file.read_text(encoding="utf-8").replace(place, str(tmp_path / "wrong"))
    file.write_text(text, encoding="utf-8")
    run = LocustProcess("throughput", results, "--pipeline", str(file), "--rows", "10")

    assert run.wait() == 3, run.output
    assert "MariaDB does not answer as it should: Access denied for user" in run.output
    assert "check the user, and CDC_MARIADB_PASSWORD or password_file" in run.output
    assert databases(server) == []


def test_a_server_that_another_authority_has_signed_is_refused(
    server: PrivateMariadb, results: Path, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path, "s3cret").authority
    file = pipeline_file(tmp_path / "pipeline.toml", server, other)
    run = LocustProcess("throughput", results, "--pipeline", str(file), "--rows", "10")

    assert run.wait() == 3, run.output
    assert "CERTIFICATE_VERIFY_FAILED" in run.output
    assert "name the authority that signed the server's certificate as ca" in run.output
    assert databases(server) == []
