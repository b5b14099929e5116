"""A real MariaDB: what it is found to be, who is let in, and which databases are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest

from cdc_users.pipeline.__main__ import main
from infra.mariadb.address import (
    FAILURES,
    MariadbAddress,
    connect_to,
    reason,
    with_access_files,
)
from infra.mariadb.database import create_run_database, drop_run_database, table_names
from infra.mariadb.rights import OF_A_RUN, READING, mariadb_facts, mariadb_mistakes
from infra.postgres.table import TableError
from infra.stack.servers.secured.certificate import make_certificates
from tests.private_mariadb import PrivateMariadb, private_mariadb


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[PrivateMariadb]:
    with private_mariadb(tmp_path_factory.mktemp("mariadb")) as started:
        yield started


@pytest.fixture
def connection(server: PrivateMariadb) -> Iterator[Any]:
    with closing(connect_to(server.url)) as opened:
        yield opened


def test_a_server_of_the_runs_own_is_a_source_and_its_user_has_no_other_right(
    connection: Any,
) -> None:
    facts = mariadb_facts(connection)

    assert list(mariadb_mistakes(facts)) == []
    assert facts.rights == set(READING)
    assert facts.of_runs == {*READING, *OF_A_RUN}


def test_a_runs_database_is_created_and_dropped_and_one_without_the_marker_stays(
    connection: Any,
) -> None:
    create_run_database(connection, "cdc_made", "abcdefgh", ["customers", "customers_2"])
    assert table_names(connection, "cdc_made") == ["customers", "customers_2"]
    drop_run_database(connection, "cdc_made")
    drop_run_database(connection, "cdc_made")

    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE cdc_yours")
        with pytest.raises(TableError, match="'cdc_yours' does not carry the harness's marker"):
            drop_run_database(connection, "cdc_yours")
        cursor.execute("SHOW DATABASES LIKE 'cdc%'")
        assert cursor.fetchall() == (("cdc_yours",),)
        cursor.execute("DROP DATABASE cdc_yours")


def test_a_wrong_password_is_refused_with_its_remedy(server: PrivateMariadb) -> None:
    place = replace(MariadbAddress.of(server.url), password_file="")
    with pytest.raises(FAILURES) as caught:
        connect_to(place.url, {"CDC_MARIADB_PASSWORD": "wrong"})

    assert "check the user, and CDC_MARIADB_PASSWORD or password_file" in reason(caught.value)


def test_a_server_that_cannot_encrypt_is_refused_where_its_authority_is_named(
    server: PrivateMariadb,
) -> None:
    with pytest.raises(FAILURES) as caught:
        connect_to(with_access_files(server.url, ca=certifi.where()))

    assert "give the server a certificate (ssl_cert, ssl_key), or leave ca out" in reason(
        caught.value
    )


def test_the_certificate_must_be_for_the_host_that_is_named(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, "s3cret")
    with private_mariadb(tmp_path / "logs", certificates) as secured:
        url = with_access_files(secured.url, ca=str(certificates.authority))
        with closing(connect_to(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
            assert cursor.fetchall()[0][1].startswith("TLS")
        # The same server by a name that its certificate does not have.
        elsewhere = replace(MariadbAddress.of(url), host="127.1").url
        with pytest.raises(FAILURES) as caught:
            connect_to(elsewhere)

    assert "and the host as that certificate does" in reason(caught.value)


def pipeline_file(path: Path, url: str, password_file: str) -> str:
    path.write_text(
        f'[source]\nkind = "mariadb"\ndsn = "{url}"\npassword_file = "{password_file}"\n'
        '[capture]\nkind = "debezium-server"\n[options]\ntransport = "http"\n',
        encoding="utf-8",
    )
    return str(path)


def test_check_tells_what_is_there(
    server: PrivateMariadb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = MariadbAddress.of(server.url)
    url, file = f"mysql://{place.user}@{place.host}:{place.port}", tmp_path / "pipeline.toml"

    assert main(["check", pipeline_file(file, url, place.password_file)]) == 0
    told = capsys.readouterr().out
    assert "log_bin ON, binlog_format ROW, binlog_row_image FULL" in told
    assert "no   commit latency: MariaDB's log has the time of a commit in whole seconds" in told

    (tmp_path / "wrong").write_text("wrong", encoding="utf-8")
    assert main(["check", pipeline_file(file, url, "wrong")]) == 3
    assert "! MariaDB does not let us in: Access denied for user" in capsys.readouterr().out
