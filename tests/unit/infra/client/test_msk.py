"""Tokens for an MSK that lets in by IAM: made by AWS's own library, and asked for by librdkafka."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from confluent_kafka import Consumer

from infra.client.access import KAFKA_PROPERTIES
from infra.client.kafka import kafka_settings, property_mistakes
from infra.client.msk import MskError, Token, region_of, with_tokens

PROPERTIES = {
    "security.protocol": "SASL_SSL",
    "sasl.oauthbearer.method": "aws-msk-iam",
    "sasl.oauthbearer.config": "region=eu-west-1",
}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys that nobody knows, and no other place in which AWS's library would look."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "kafka.properties"
    path.write_text("".join(f"{name}={text}\n" for name, text in PROPERTIES.items()))
    return {KAFKA_PROPERTIES: str(path)}


def test_a_token_is_a_signed_request_to_connect_that_ends_soon(keys: None) -> None:
    made = with_tokens(PROPERTIES, {})["oauth_cb"]
    assert callable(made)
    signed, expires_s = made("")

    url = urlsplit(base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4)).decode())
    asked = parse_qs(url.query)
    assert url.hostname == "kafka.eu-west-1.amazonaws.com"
    assert asked["Action"] == ["kafka-cluster:Connect"]
    assert asked["X-Amz-Credential"][0].startswith("AKIAEXAMPLE/")
    assert "hush" not in url.query
    assert 0 < expires_s - time.time() <= 3600


def test_librdkafka_takes_the_settings_and_asks_for_a_token(
    environ: dict[str, str], keys: None
) -> None:
    assert property_mistakes(environ) == []
    settings = kafka_settings("127.0.0.1:1", {"group.id": "g", "log_level": 0}, environ)
    asked: list[str] = []

    def noted(config: str) -> Token:
        asked.append(config)
        made: Token = settings["oauth_cb"](config)
        return made

    consumer = Consumer({**settings, "oauth_cb": noted})
    try:
        deadline_s = time.monotonic() + 10
        while not asked:
            assert time.monotonic() < deadline_s
            consumer.poll(0.01)
    finally:
        consumer.close()


def test_the_region_is_the_configurations_else_the_environments() -> None:
    assert region_of("region=eu-west-1", {"AWS_REGION": "us-east-1"}) == "eu-west-1"
    assert region_of("", {"AWS_REGION": "us-east-1"}) == "us-east-1"
    with pytest.raises(MskError, match="is not region=NAME"):
        region_of("eu-west-1", {})
    with pytest.raises(MskError, match="needs a region"):
        region_of("", {})


def test_what_has_nothing_to_do_with_iam_stays_as_it_is() -> None:
    oidc = {**PROPERTIES, "sasl.oauthbearer.method": "oidc"}
    assert with_tokens(oidc, {}) == oidc


def test_a_region_that_is_missing_is_told_before_a_server_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text("sasl.oauthbearer.method=aws-msk-iam\n")
    (told,) = property_mistakes({KAFKA_PROPERTIES: str(path)})
    assert "sasl.oauthbearer.config=region=NAME" in told
