"""An emulator is reached as this project says; the real service as the user's environment says."""

from __future__ import annotations

import pytest

pytest.importorskip("boto3")

from botocore.exceptions import ClientError, EndpointConnectionError, ProfileNotFound

from infra.client.cloud import kinesis
from tests.recording_proxy import recording_proxy


def test_an_emulator_is_asked_past_proxies_profiles_and_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    with recording_proxy() as (variables, asked):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        with pytest.raises(EndpointConnectionError):
            kinesis("http://127.0.0.1:9", retries={"total_max_attempts": 1}).list_streams()
        assert not asked


def test_a_service_elsewhere_is_asked_with_the_users_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")

    with pytest.raises(ProfileNotFound):
        kinesis("http://kinesis.example")


def test_a_service_elsewhere_is_asked_through_the_users_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with recording_proxy() as (variables, asked):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        with pytest.raises(ClientError):
            kinesis("http://kinesis.example", retries={"total_max_attempts": 1}).list_streams()
        assert "kinesis.example" in asked[0]
