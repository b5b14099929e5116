"""A MariaDB's URL says where and who, and never holds a secret."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pymysql
import pytest

from infra.client.access import AccessError
from infra.mariadb.address import (
    MariadbAddress,
    address_mistakes,
    at_database,
    reason,
    with_access_files,
)

GOOD = "mysql://bench@db.example:3307/shop?password_file=%2Frun%2Fa+b"
AUTHORITIES = certifi.where()


def test_a_url_has_all_parts_and_is_written_as_it_was_read() -> None:
    place = MariadbAddress.of(GOOD)

    assert place == MariadbAddress("db.example", 3307, "bench", "/run/a b", "shop")
    assert MariadbAddress.of(place.url) == place
    assert MariadbAddress.of(at_database(GOOD, "cdc_1")).database == "cdc_1"
    assert MariadbAddress.of("mariadb://u@[::1]").url == "mysql://u@[::1]:3306/"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (GOOD, ""),
        ("mysql://u:s3cret@h:1", "holds a password"),
        ("mysql://h:1", "names no user"),
        ("postgresql://u@h:1", "is no address of MariaDB"),
        ("mysql://u@h:0", "is no address of MariaDB"),
        ("mysql://u@h:1?ssl=yes", "has ssl behind the question mark"),
        (f"mysql://u@h:1?ca={AUTHORITIES}", ""),
        ("mysql://u@h:1?ca=/no.pem", "names a file that cannot be used: ca=/no.pem has no cert"),
        (f"mysql://u@h:1?ca={__file__}", f"names a file that cannot be used: ca={__file__}"),
    ],
)
def test_a_mistake_is_named_and_the_url_is_not_repeated(url: str, told: str) -> None:
    found = list(address_mistakes(url))

    assert [clause[: len(told)] for clause in found] == [told] * bool(told)
    assert "s3cret" not in "".join(found)


def test_the_password_is_in_the_file_that_the_url_names_or_in_the_environment(
    tmp_path: Path,
) -> None:
    (tmp_path / "one").write_text("of the file\n", encoding="utf-8")
    named = MariadbAddress.of(with_access_files("mysql://u@h", password_file=str(tmp_path / "one")))
    environ = {"CDC_MARIADB_PASSWORD": "of the environment"}

    assert named.password(environ) == "of the file"
    assert MariadbAddress.of("mysql://u@h").password(environ) == "of the environment"
    assert MariadbAddress.of("mysql://u@h").password({}) == ""
    with pytest.raises(AccessError, match="cannot be read; name a file"):
        MariadbAddress.of(
            with_access_files("mysql://u@h", password_file="/nowhere/at/all")
        ).password({})


def test_a_url_with_mistakes_is_left_as_it_is() -> None:
    assert with_access_files("nonsense", password_file="/a") == "nonsense"


def test_files_are_added_to_those_that_the_url_names() -> None:
    added = MariadbAddress.of(with_access_files(GOOD, ca=AUTHORITIES))

    assert (added.password_file, added.ca) == ("/run/a b", AUTHORITIES)
    assert MariadbAddress.of(added.url) == added
    assert with_access_files(GOOD) == GOOD


def test_a_server_is_checked_where_its_authority_is_named() -> None:
    checked = MariadbAddress.of(f"mysql://u@h?ca={AUTHORITIES}").tls()

    assert checked is not None
    assert checked.verify_mode is ssl.CERT_REQUIRED
    assert checked.check_hostname
    assert MariadbAddress.of("mysql://u@h").tls() is None


def test_a_login_that_is_refused_has_its_remedy() -> None:
    denied = pymysql.err.OperationalError(1045, "Access denied for user 'u'@'h'")

    assert reason(denied) == (
        "Access denied for user 'u'@'h'; check the user, and CDC_MARIADB_PASSWORD or password_file"
    )
    assert reason(pymysql.err.OperationalError(2003, "Can't connect")) == "Can't connect"
    assert reason(AccessError("x cannot be read")) == "x cannot be read"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", "name the authority that signed"),
        ("SSL is required but the server doesn't support it", "give the server a certificate"),
    ],
)
def test_encryption_that_does_not_come_about_has_its_remedy(said: str, remedy: str) -> None:
    told = reason(pymysql.err.OperationalError(2026, said))

    assert told.startswith(f"{said}; {remedy}")
