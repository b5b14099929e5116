"""A MariaDB's URL says where and who, and never holds a secret."""

from __future__ import annotations

from pathlib import Path

import pymysql
import pytest

from infra.client.access import AccessError
from infra.mariadb.address import (
    MariadbAddress,
    address_mistakes,
    at_database,
    reason,
    with_password_file,
)

GOOD = "mysql://bench@db.example:3307/shop?password_file=%2Frun%2Fa+b"


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
    named = MariadbAddress.of(with_password_file("mysql://u@h", str(tmp_path / "one")))
    environ = {"CDC_MARIADB_PASSWORD": "of the environment"}

    assert named.password(environ) == "of the file"
    assert MariadbAddress.of("mysql://u@h").password(environ) == "of the environment"
    assert MariadbAddress.of("mysql://u@h").password({}) == ""
    with pytest.raises(AccessError, match="cannot be read; name a file"):
        MariadbAddress.of(with_password_file("mysql://u@h", "/nowhere/at/all")).password({})


def test_a_url_with_mistakes_is_left_as_it_is() -> None:
    assert with_password_file("nonsense", "/a") == "nonsense"


def test_a_login_that_is_refused_has_its_remedy() -> None:
    denied = pymysql.err.OperationalError(1045, "Access denied for user 'u'@'h'")

    assert reason(denied) == (
        "Access denied for user 'u'@'h'; check the user, and CDC_MARIADB_PASSWORD or password_file"
    )
    assert reason(pymysql.err.OperationalError(2003, "Can't connect")) == "Can't connect"
    assert reason(AccessError("x cannot be read")) == "x cannot be read"
