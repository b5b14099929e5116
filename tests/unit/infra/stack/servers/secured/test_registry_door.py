"""The registry's door, over TLS: who is let in, what goes through, and what the client says where
it is not.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from infra.client.registry import RegistryRefusedError, SchemaRegistry
from infra.stack.servers.secured.registry_door import RegistryDoorSettings, allowed, application
from tests.tls import EXPIRED, serving, tls_files

USER, PASSWORD = "ada", "hush:hush"
SETTINGS = RegistryDoorSettings(0, "http://127.0.0.1:1", "", USER, PASSWORD)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_the_user_is_let_in() -> None:
    assert allowed(basic(f"{USER}:{PASSWORD}"), SETTINGS)


@given(st.text(max_size=40))
def test_nobody_else_is_let_in(text: str) -> None:
    for header in (text, f"Basic {text}", basic(text), f"Bearer {PASSWORD}"):
        assert not allowed(header, SETTINGS) or text == f"{USER}:{PASSWORD}"


async def _latest(request: web.Request) -> web.Response:
    assert "Authorization" not in request.headers
    body = {"schema": '"string"', "subject": request.match_info["subject"]}
    return web.json_response(body, headers={"X-Registry": "yes"})


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    """A registry that has one route and no login."""
    made = web.Application()
    made.router.add_get("/subjects/{subject}/versions/latest", _latest)
    with serving(made) as place:
        yield f"http://{place}"


def door(behind: str, place: Path) -> web.Application:
    return application(RegistryDoorSettings(0, behind, str(place), USER, PASSWORD))


def environment(tmp_path: Path, **changed: str) -> dict[str, str]:
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    given = {"USER": USER, "PASSWORD_FILE": str(file), **changed}
    return {f"CDC_SCHEMA_REGISTRY_{name}": text for name, text in given.items()}


def test_what_is_let_in_goes_through_and_comes_back(tmp_path: Path, behind: str) -> None:
    tls = tls_files(tmp_path, "door")
    environ = environment(tmp_path, CA=str(tls.authority))
    with (
        serving(door(behind, tls.server), tls.server) as place,
        SchemaRegistry(f"https://{place}", 5, environ) as registry,
    ):
        assert registry.latest("a b/c") == "string"
        assert registry.schema(7) is None


def test_a_wrong_password_is_refused_with_the_remedy(tmp_path: Path, behind: str) -> None:
    tls = tls_files(tmp_path, "door")
    environ = environment(tmp_path, CA=str(tls.authority), PASSWORD="wrong")
    with (
        serving(door(behind, tls.server), tls.server) as place,
        SchemaRegistry(f"https://{place}", 5, environ) as registry,
        pytest.raises(RegistryRefusedError, match=r"401.*CDC_SCHEMA_REGISTRY_USER") as caught,
    ):
        registry.latest("a")

    assert caught.value.status == 401
    assert "wrong" not in str(caught.value)


def test_another_authority_is_refused_with_the_remedy(tmp_path: Path, behind: str) -> None:
    tls, other = tls_files(tmp_path, "door"), tls_files(tmp_path, "other")
    environ = environment(tmp_path, CA=str(other.authority))
    with (
        serving(door(behind, tls.server), tls.server) as place,
        SchemaRegistry(f"https://{place}", 5, environ) as registry,
        pytest.raises(RegistryRefusedError, match=r"certificate.*CDC_SCHEMA_REGISTRY_CA"),
    ):
        registry.latest("a")


def test_a_certificate_that_has_expired_is_said_to_have(tmp_path: Path, behind: str) -> None:
    tls = tls_files(tmp_path, "door", EXPIRED)
    environ = environment(tmp_path, CA=str(tls.authority))
    with (
        serving(door(behind, tls.server), tls.server) as place,
        SchemaRegistry(f"https://{place}", 5, environ) as registry,
        pytest.raises(RegistryRefusedError, match="certificate has expired"),
    ):
        registry.latest("a")
