"""The consequence of a receiver's answer, or of a failure on the way to it, for the events.

| answer (RFC 9110, section 15) | remedy |
|---|---|
| 408, 421, 423, 425, 429; 500, 502 to 504, 507, 509, 520 and above | the same again, later |
| 400, 409, 413, 414, 415, 422, 431 | about this request: fewer events at a time, then the event |
| 3xx | end: redirects are not followed |
| 401, 403, 407, 511 | end: a login is required |
| any other | end: this address takes no events by POST |
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import aiohttp

from infra.platform.process.error import (
    ConfigError,
    PlatformError,
    RefusedError,
    Remedy,
    RetryableError,
)

LONGEST_RETRY_AFTER_S = 300.0
_RETRY = frozenset({408, 421, 423, 425, 429, 500, 502, 503, 504, 507, 509})
_REFUSE_EVENT = frozenset({400, 409, 413, 414, 415, 422, 431})
_LOGIN = frozenset({401, 403, 407, 511})
#: Numbers from here on come from proxies and mean that a server cannot be reached.
_OF_PROXIES = 520


def remedy(status: int) -> Remedy:
    """The reaction to an answer other than success."""
    if status in _RETRY or status >= _OF_PROXIES:
        return Remedy.RETRY
    return Remedy.REFUSE_EVENT if status in _REFUSE_EVENT else Remedy.END


def judge(status: int, retry_after: str | None, what: str) -> None:
    """Raise the error that an answer means, unless it means success."""
    if 200 <= status < 300:
        return
    found = remedy(status)
    if found is Remedy.RETRY:
        raise RetryableError(what, retry_after_s(retry_after))
    if found is Remedy.REFUSE_EVENT:
        raise RefusedError(what)
    raise ConfigError(f"{what}{_advice(status)}")


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return ", a redirect, which is not followed; give the address that it leads to"
    if status in _LOGIN:
        return ", so it wants a login, which the platform has none for; give an address without one"
    return "; give an address that takes change events by POST without a login"


def failure_of(error: Exception, shown: str, timeout_s: float) -> PlatformError:
    """The meaning of a failure without an answer; of the address its text has only `shown`."""
    if isinstance(error, TimeoutError):
        return RetryableError(f"{shown} did not answer within {timeout_s:g} s")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConfigError(
            f"{shown} has a certificate that is not trusted; have one issued by an authority that"
            " this machine knows"
        )
    # Other texts of aiohttp may contain the whole address.
    reason = f": {error}" if isinstance(error, OSError) else ""
    return RetryableError(f"{shown} broke off: {type(error).__name__}{reason}")


def retry_after_s(text: str | None, now_s: float | None = None) -> float:
    """The header's seconds or date (RFC 9110, section 10.2.3) as seconds from now, within bounds; 0
    without a header.
    """
    if not text:
        return 0.0
    try:
        wait_s = (
            float(text)
            if text.isascii() and text.isdigit()
            else _date_s(text) - (time.time() if now_s is None else now_s)
        )
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def _date_s(text: str) -> float:
    return parsedate_to_datetime(text).timestamp()
