"""What a receiver's answer means for the events, and what of it may be shown."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from infra.platform.process.error import (
    ConfigError,
    PlatformError,
    RefusedError,
    RetryableError,
)
from infra.platform.sinks.webhook.failure import (
    LONGEST_RETRY_AFTER_S,
    failure_of,
    judge,
    retry_after_s,
)

WHERE = "https://hooks.example"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_yes_is_a_yes(status: int) -> None:
    judge(status, None, WHERE)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (199, ConfigError),
        (300, ConfigError),
        (404, ConfigError),
        (425, RetryableError),
        (510, ConfigError),
        (511, ConfigError),
        (519, ConfigError),
        (520, RetryableError),
        (599, RetryableError),
        (415, RefusedError),
        (418, ConfigError),
    ],
)
def test_what_is_no_yes_is_raised_by_its_remedy(status: int, kind: type[PlatformError]) -> None:
    with pytest.raises(kind, match=WHERE):
        judge(status, None, WHERE)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (301, "a redirect"),
        (399, "a redirect"),
        (401, "wants a login"),
        (511, "wants a login"),
        (404, "takes change events by POST"),
    ],
)
def test_an_end_says_what_to_do(status: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        judge(status, "5", WHERE)


def test_a_busy_receiver_is_left_alone_as_long_as_it_says() -> None:
    with pytest.raises(RetryableError) as raised:
        judge(503, "17", WHERE)

    assert raised.value.retry_after_s == 17


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0.0),
        ("300", 300.0),
        ("301", LONGEST_RETRY_AFTER_S),
        ("9" * 400, LONGEST_RETRY_AFTER_S),
        ("1.5", 0.0),
        ("-5", 0.0),
        ("+5", 0.0),
        ("٣", 0.0),
        ("²", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("soon", 0.0),
        ("Thu, 01 Jan 1970 00:16:45 GMT", 5.0),
        ("Thu, 01 Jan 1970 00:16:40 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_RETRY_AFTER_S),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", 0.0),
        ("", 0.0),
    ],
)
def test_how_long_to_wait_is_read_within_bounds_whatever_stands_there(
    text: str, wait_s: float
) -> None:
    assert retry_after_s(text, now_s=1000.0) == wait_s


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "did not answer within 2.5 s"),
        (aiohttp.ServerDisconnectedError(), "broke off: ServerDisconnectedError"),
        (ConnectionResetError(104, "reset by peer"), "reset by peer"),
        (aiohttp.InvalidURL("http://h/secret"), "broke off: InvalidURL"),
        (aiohttp.ClientPayloadError("secret"), "broke off: ClientPayloadError"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_failure_without_an_answer_is_tried_again_and_shows_no_path(
    error: Exception, words: str
) -> None:
    found = failure_of(error, WHERE, 2.5)

    assert isinstance(found, RetryableError)
    assert "secret" not in str(found)
    assert str(found).startswith(f"{WHERE} ")
    assert words in str(found)


def test_a_certificate_that_is_not_trusted_is_for_its_owner_to_mend() -> None:
    key = ConnectionKey("h", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorCertificateError(key, ssl.CertificateError("made up"))

    found = failure_of(error, WHERE, 2.5)

    assert isinstance(found, ConfigError)
    assert "not trusted" in str(found)
