"""Streams of a service are waited for, and nothing that is gone is missed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from infra.stack import cloud
from infra.stack.cloud import (
    EMULATED_PROJECT,
    PROJECT_VARIABLE,
    create_stream,
    delete_stream,
    probe_kinesis,
    project,
)
from infra.stack.error import StackError


class GoneError(Exception):
    """The service knows no such stream."""


class Kinesis:
    """A service whose streams become active at the n-th look."""

    exceptions = SimpleNamespace(ResourceNotFoundException=GoneError)

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.made: dict[str, int] = {}

    def create_stream(self, StreamName: str, ShardCount: int) -> None:  # noqa: N803 - as AWS does
        self.made[StreamName] = ShardCount

    def describe_stream_summary(self, StreamName: str) -> dict[str, Any]:  # noqa: N803
        assert StreamName in self.made
        self.looks -= 1
        status = "CREATING" if self.looks > 0 else "ACTIVE"
        return {"StreamDescriptionSummary": {"StreamStatus": status}}

    def delete_stream(self, StreamName: str) -> None:  # noqa: N803
        if StreamName not in self.made:
            raise GoneError(StreamName)
        del self.made[StreamName]

    def list_streams(self, Limit: int) -> None:  # noqa: N803
        raise ConnectionRefusedError(Limit)


@pytest.fixture
def kinesis(monkeypatch: pytest.MonkeyPatch) -> Kinesis:
    made = Kinesis(looks=3)
    monkeypatch.setattr(cloud, "kinesis_client", lambda _: made)
    monkeypatch.setattr(cloud, "POLL_S", 0.001)
    return made


def test_a_stream_is_there_when_it_takes_records(kinesis: Kinesis) -> None:
    create_stream("http://k", "größe", 4)

    assert (kinesis.made, kinesis.looks) == ({"größe": 4}, 0)


def test_a_stream_that_takes_none_for_long_is_told(
    kinesis: Kinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinesis.looks = 10**9
    monkeypatch.setattr(cloud, "ACTIVE_S", 0.02)

    with pytest.raises(StackError, match=r"^Kinesis stream 'a' is not active after 0\.02 s$"):
        create_stream("http://k", "a", 1)


def test_a_stream_that_is_gone_is_deleted(kinesis: Kinesis) -> None:
    kinesis.made["a"] = 1

    delete_stream("http://k", "a")
    delete_stream("http://k", "a")

    assert kinesis.made == {}


def test_a_service_that_does_not_answer_says_why(kinesis: Kinesis) -> None:
    with pytest.raises(ConnectionRefusedError):
        probe_kinesis("http://k")


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, EMULATED_PROJECT),
        ({PROJECT_VARIABLE: ""}, EMULATED_PROJECT),
        ({PROJECT_VARIABLE: "shop-1"}, "shop-1"),
    ],
)
def test_a_project_that_is_not_named_is_the_emulators(environ: dict[str, str], name: str) -> None:
    assert project(environ) == name
