"""Which service a run's stream is in, and what address that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_users.pipeline.provision.cloud_streams import CloudStreams, own_endpoint
from infra.stack.error import StackConfigError


def test_an_option_beats_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:1")

    assert own_endpoint("kinesis", "") == "http://127.0.0.1:1"
    assert own_endpoint("kinesis", "http://127.0.0.1:2") == "http://127.0.0.1:2"
    assert CloudStreams(tmp_path).endpoint("kinesis", "") == "http://127.0.0.1:1"
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_with_a_login_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://bob:hush@127.0.0.1:1")

    with pytest.raises(
        StackConfigError, match="AWS_ENDPOINT_URL_KINESIS holds a user or a password"
    ) as caught:
        own_endpoint("kinesis", "")

    assert "hush" not in str(caught.value)
