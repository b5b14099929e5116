"""Where a DSN, a URL or an address leads is known before anything is connected, by libpq's
rules.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import validate
from infra.stack.supervise.state import CHECKOUT


@pytest.mark.parametrize(
    ("dsn", "environ", "expected"),
    [
        ("host=127.0.0.1", {}, ["127.0.0.1:5432"]),
        ("host=127.0.0.1", {"PGPORT": "5433", "PGHOST": "192.0.2.9"}, ["127.0.0.1:5433"]),
        ("host=127.0.0.1,192.0.2.9 port=5432,5433", {}, ["127.0.0.1:5432", "192.0.2.9:5433"]),
        ("host=127.0.0.1,192.0.2.9 port=6432", {}, ["127.0.0.1:6432", "192.0.2.9:6432"]),
        ("host=127.0.0.1,192.0.2.9 port=,5433", {}, ["127.0.0.1:5432", "192.0.2.9:5433"]),
        ("postgresql://bench@[::1]:5433/shop", {}, ["::1:5433"]),
        ("host=/var/run/postgresql", {}, ["/var/run/postgresql:5432"]),
    ],
)
def test_every_server_that_libpq_would_try_is_named(
    dsn: str, environ: dict[str, str], expected: list[str]
) -> None:
    assert validate.dsn_mistakes(dsn, environ) == []
    assert validate.dsn_addresses(dsn, environ) == expected


@pytest.mark.parametrize(
    ("dsn", "environ", "said"),
    [
        ("", {}, "no host"),
        ("dbname=shop", {"PGHOST": "192.0.2.9"}, "no host"),
        ("host=127.0.0.1,", {}, "no host"),
        ("host=127.0.0.1 hostaddr=192.0.2.9", {}, "hostaddr='192.0.2.9'"),
        ("host=192.0.2.9 hostaddr=127.0.0.2", {}, "hostaddr='127.0.0.2'"),
        ("postgresql://127.0.0.1/shop?hostaddr=192.0.2.9", {}, "hostaddr='192.0.2.9'"),
        ("host=127.0.0.1 service=prod", {}, "service='prod'"),
        ("host=127.0.0.1", {"PGHOSTADDR": "192.0.2.9"}, "PGHOSTADDR=192.0.2.9"),
        ("host=127.0.0.1", {"PGSERVICE": "prod"}, "PGSERVICE=prod"),
        ("host=127.0.0.1", {"PGPORT": "abc"}, "no port"),
        ("host=127.0.0.1 port=0", {}, "no port"),
        ("host=127.0.0.1 port=1,2", {}, "no port"),
        ("host=127.0.0.1 password=hunter2", {}, "PGPASSWORD"),
        ("host=127.0.0.1 password=my hunter2", {}, "cannot be parsed"),
        ("postgresql://bench:hunter2/@127.0.0.1/shop", {}, "no port"),
        ("host=127.0.0.1 sslpassword=hunter2", {}, "sslpassword"),
    ],
)
def test_what_leads_elsewhere_is_a_mistake(dsn: str, environ: dict[str, str], said: str) -> None:
    (mistake,) = validate.dsn_mistakes(dsn, environ)

    assert said in mistake
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    "text", ["127.0.0.1:1", "localhost:65535", "[::1]:9092", "kafka_1.shop.test:9092"]
)
def test_an_address_is_a_host_and_a_port(text: str) -> None:
    assert validate.is_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", ":9092", "a:0", "a:65536", "a:\N{SUPERSCRIPT TWO}", "::1:1", "ssl://a:1"],
)
def test_anything_else_is_no_address(text: str) -> None:
    assert not validate.is_address(text)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8081/apis", "127.0.0.1:8081"),
        ("https://registry.test", "registry.test:443"),
        ("http://[::1]", "[::1]:80"),
    ],
)
def test_a_url_has_an_address(url: str, address: str) -> None:
    assert validate.is_url(url)
    assert validate.url_address(url) == address


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "http://", "http:///x", "http://[::1", "http://a:port", "ftp://a", "a:1"],
)
def test_anything_else_is_no_url(text: str) -> None:
    assert not validate.is_url(text)


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT ONE}", "1" * 5000]
)
def test_only_plain_digits_are_a_whole_number(text: str) -> None:
    assert not validate.is_whole(text)


def test_a_directory_that_need_not_exist_yet_is_tried_without_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="ascii")

    assert validate.unwritable(tmp_path / "a" / "b") == ""
    assert validate.unwritable(file) != ""
    assert validate.unwritable(file / "below") != ""
    assert validate.unwritable(Path("/proc/nowhere")) != ""
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_that_is_nearly_full_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3_000_000))

    assert validate.unwritable(tmp_path / "a") == "3 MB are free there, 20 are needed"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:4567", "127.0.0.1:4567"),
        ("https://kinesis.example.test", "kinesis.example.test:443"),
        ("127.0.0.1:8085", "127.0.0.1:8085"),
        ("http://[::1]:4567/", "[::1]:4567"),
        ("redis://cache.example", "cache.example:6379"),
        ("nats://127.0.0.1:14222", "127.0.0.1:14222"),
        ("tls://nats.example", "nats.example:4222"),
    ],
)
def test_an_endpoint_has_an_address(endpoint: str, expected: str) -> None:
    assert validate.endpoint_address(endpoint) == expected


#: What a user other than root is told of a place, by a process that is one.
AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from infra import validate
place = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)
print(validate.unwritable(place / "a" / "b"))
print(validate.unwritable_file(place / "a.html"))
"""


def test_a_place_that_may_not_be_looked_into_is_told_and_no_failure(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER_USER, str(closed / "inner")],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        closed.chmod(0o700)

    assert (done.stderr, done.stdout) == ("", "Permission denied\n" * 2)


def test_a_file_is_written_where_none_is_or_where_one_may_be(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept", encoding="utf-8")

    assert validate.unwritable_file(tmp_path / "mine") == ""
    assert validate.unwritable_file(tmp_path / "new" / "größe.html") == ""
    assert validate.unwritable_file(tmp_path) == f"{tmp_path} is a directory"
    assert validate.unwritable_file(tmp_path / "mine" / "a") == f"{tmp_path / 'mine'} is a file"
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
