"""Where the page may listen."""

from __future__ import annotations

import argparse

import pytest

from cdc_users.error import OptionsError
from cdc_users.view.web import host


@pytest.mark.parametrize("name", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_permission(name: str) -> None:
    host.check(name, web_login=False, allow_web_host="")


@pytest.mark.parametrize("name", ["", "*", "0.0.0.0", "::", "192.168.1.5", "bench.example"])
def test_any_other_address_needs_a_login_or_a_word(name: str) -> None:
    with pytest.raises(OptionsError, match=r"--web-login.*--allow-web-host yes"):
        host.check(name, web_login=False, allow_web_host="no")
    host.check(name, web_login=True, allow_web_host="")
    host.check(name, web_login=False, allow_web_host="yes")


def test_page_and_master_listen_on_loopback_unless_it_is_said_otherwise() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--web-host", default="")
    parser.add_argument("--master-bind-host", default="*")
    host.secure_defaults(parser)

    assert vars(parser.parse_args([])) == {"web_host": "127.0.0.1", "master_bind_host": "127.0.0.1"}
    assert parser.parse_args(["--master-bind-host", "*"]).master_bind_host == "*"
