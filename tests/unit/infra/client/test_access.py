"""How a server lets us in: what the environment says, and what of it cannot be."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import requests

from infra.client.access import (
    CONNECT_PREFIX,
    REGISTRY_PREFIX,
    VARIABLES,
    HttpAccess,
    access_mistakes,
    http_access,
    secret,
)
from infra.client.http import Login, UnreadableSecretError


def sent(environ: dict[str, str], prefix: str = REGISTRY_PREFIX) -> str:
    """The Authorization header that a request would carry."""
    request = requests.Request("GET", "http://127.0.0.1:1/").prepare()
    return str(Login(prefix, environ)(request).headers.get("Authorization", ""))


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("hush\n", encoding="utf-8")
    return path


def test_what_is_said_to_a_child_is_what_it_reads() -> None:
    access = HttpAccess("ada", "/a/password", "", "/a/ca.pem", "/a/client.pem", "/a/key.pem")

    assert http_access(CONNECT_PREFIX, access.variables(CONNECT_PREFIX)) == access
    assert set(access.variables(CONNECT_PREFIX)) <= VARIABLES


def test_no_variable_that_is_handed_on_holds_a_secret() -> None:
    names = HttpAccess(*["x"] * 6).variables(REGISTRY_PREFIX)

    assert not any(name.endswith(("_PASSWORD", "_TOKEN")) for name in names)


def test_what_is_said_first_goes_before_and_gaps_are_filled() -> None:
    assert HttpAccess(user="ada").over(HttpAccess(user="bob", ca="/ca")) == HttpAccess(
        user="ada", ca="/ca"
    )


def test_a_password_is_read_from_its_file_when_it_is_needed(password: Path) -> None:
    environ = {f"{REGISTRY_PREFIX}_USER": "ada", f"{REGISTRY_PREFIX}_PASSWORD_FILE": str(password)}

    assert sent(environ) == basic("ada:hush")
    password.write_text("renewed", encoding="utf-8")
    assert sent(environ) == basic("ada:renewed")


def test_a_variable_goes_before_a_file(password: Path) -> None:
    environ = {
        f"{REGISTRY_PREFIX}_PASSWORD": "given",
        f"{REGISTRY_PREFIX}_PASSWORD_FILE": str(password),
    }

    assert secret(REGISTRY_PREFIX, "PASSWORD", environ) == "given"


def test_a_token_is_a_bearer(password: Path) -> None:
    assert sent({f"{REGISTRY_PREFIX}_TOKEN_FILE": str(password)}) == "Bearer hush"


def test_a_name_beyond_ascii_is_sent_as_utf_8() -> None:
    environ = {f"{REGISTRY_PREFIX}_USER": "jürgen", f"{REGISTRY_PREFIX}_PASSWORD": "straße"}

    assert sent(environ) == basic("jürgen:straße")


def test_each_server_has_variables_of_its_own() -> None:
    assert sent({f"{REGISTRY_PREFIX}_TOKEN": "hush"}, CONNECT_PREFIX) == ""


def test_nothing_is_sent_where_nothing_is_said() -> None:
    assert sent({}) == ""


def test_a_file_that_is_gone_is_named_without_its_content(tmp_path: Path) -> None:
    environ = {f"{REGISTRY_PREFIX}_TOKEN_FILE": str(tmp_path / "gone")}

    with pytest.raises(
        UnreadableSecretError, match=r"CDC_SCHEMA_REGISTRY_TOKEN_FILE=.*gone cannot be read"
    ):
        sent(environ)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"PASSWORD": "hush"}, "CDC_CONNECT_PASSWORD has no user"),
        ({"USER": "ada"}, "CDC_CONNECT_USER has no password"),
        ({"USER": "ada", "PASSWORD": "x", "TOKEN": "y"}, "two ways to log in"),
        ({"KEY": __file__}, "CDC_CONNECT_KEY has no certificate"),
        ({"CA": "/nowhere/ca.pem"}, "CDC_CONNECT_CA=/nowhere/ca.pem cannot be read"),
        ({"TOKEN_FILE": "/nowhere/token"}, "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_told_with_the_remedy(given: dict[str, str], told: str) -> None:
    environ = {f"{CONNECT_PREFIX}_{name}": text for name, text in given.items()}

    (mistake,) = access_mistakes(CONNECT_PREFIX, environ)

    assert told in mistake
    assert "hush" not in mistake


def test_what_can_be_meant_is_no_mistake(password: Path) -> None:
    file = str(password)
    for given in (
        {},
        {"USER": "ada", "PASSWORD_FILE": file, "CA": file},
        {"TOKEN_FILE": file},
        {"CERTIFICATE": file, "KEY": file},
    ):
        environ = {f"{CONNECT_PREFIX}_{name}": text for name, text in given.items()}
        assert access_mistakes(CONNECT_PREFIX, environ) == []
