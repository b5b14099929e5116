"""What may be shown of an address, and that nothing else of it is."""

from __future__ import annotations

import pytest

from infra.platform.process.address import concealed, shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.example:8443/T0/token?key=secret#x", "https://hooks.example:8443"),
        ("http://bob:secret@[::1]:80/", "http://[::1]:80"),
        ("postgresql+psycopg2://bob:se@cret@db:5432/x", "postgresql+psycopg2://db:5432"),
        ("postgresql://bob:sec/ret@db/x", "***"),
        ("postgresql:///x?password=secret", "postgresql:***"),
        ("host=db password=secret", "***"),
        ("http://[secret", "***"),
        ("sqlite:////nowhere/catalog.db?key=secret", "sqlite:////nowhere/catalog.db"),
    ],
)
def test_only_scheme_host_and_port_are_shown(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize(
    "properties",
    [
        {"type": "x", "token": "top-secret"},
        {"type": "x", "credential": "client:top-secret"},
        {"type": "x", "uri": "postgresql://bob:top-secret@db/x"},
        {"type": "x", "uri": "postgresql://bob:top%2Dsecret@db/x"},
        {"type": "x", "uri": "postgresql://db/x?password=top-secret"},
    ],
)
def test_no_secret_of_a_catalog_is_left_in_an_errors_text(properties: dict[str, str]) -> None:
    text = concealed(f"failed for top-secret with {properties}", properties)

    assert "secret" not in text
    assert text.startswith("failed for ***")
