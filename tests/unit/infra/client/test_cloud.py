"""An emulator is reached as this project says; the real service as the user's environment says."""

from __future__ import annotations

import pytest

pytest.importorskip("boto3")

from botocore.exceptions import ClientError, EndpointConnectionError, ProfileNotFound

from infra.client.cloud import kinesis, kinesis_variables, region
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


EMULATOR, SERVICE = "http://127.0.0.1:4567", "https://kinesis.example"
KEYS = {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two", "AWS_SESSION_TOKEN": "three"}


def test_another_program_gets_made_up_keys_for_an_emulator_and_no_profile() -> None:
    found = kinesis_variables(EMULATOR, {"AWS_PROFILE": "nowhere", "PATH": "/bin"})

    assert found == {
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "CBOR_ENABLED": "false",
    }


def test_another_program_gets_the_users_keys() -> None:
    assert KEYS.items() <= kinesis_variables(EMULATOR, KEYS).items()
    assert kinesis_variables(SERVICE, KEYS) == KEYS


def test_another_program_gets_the_users_profile_for_a_service_elsewhere() -> None:
    given = {"AWS_PROFILE": "bench", "AWS_CONFIG_FILE": "/bench"}

    assert kinesis_variables(SERVICE, {**given, "PATH": "/bin"}) == given


def test_the_region_is_the_environments_or_one_for_emulators() -> None:
    assert region({"AWS_REGION": "eu-central-1"}) == "eu-central-1"
    assert region({"AWS_DEFAULT_REGION": "eu-west-1"}) == "eu-west-1"
    assert region({}) == "us-east-1"
