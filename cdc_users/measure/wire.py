"""How messages travel between a run's processes: JSON of msgspec structs, one protocol version,
decoded once where they arrive.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

#: Raised whenever a message changes its meaning; processes of different versions refuse each other.
PROTOCOL = 1

WireMessage = TypeVar("WireMessage")


#: What msgspec raises for a text that is no message: also for bytes that are no UTF-8 inside a
#: text, and for lists that are nested without end.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class WireError(ValueError):
    """A message of another protocol version or of an unexpected form; the text has the sender and
    the mistake.
    """


class Versioned(msgspec.Struct, kw_only=True, frozen=True):
    """A message with the protocol version that it was made by."""

    protocol: int = PROTOCOL


class _Version(msgspec.Struct):
    protocol: int | None = None


def encode(message: object) -> bytes:
    """A message as JSON in one line."""
    return msgspec.json.encode(message)


def decode(data: bytes | str, kind: type[WireMessage], sender: str) -> WireMessage:
    """Read a message; raises WireError, for another protocol version before any other mistake."""
    try:
        message = msgspec.json.decode(data, type=kind)
    except _UNREADABLE as error:
        _check(_protocol(data), sender)
        name = getattr(kind, "__name__", "message")
        raise WireError(f"{sender} sent something else than a {name}: {error}") from error
    if isinstance(message, Versioned):
        _check(message.protocol, sender)
    return message


def _protocol(data: bytes | str) -> int | None:
    try:
        return msgspec.json.decode(data, type=_Version).protocol
    except _UNREADABLE:
        return PROTOCOL


def _check(protocol: int | None, sender: str) -> None:
    if protocol not in (None, PROTOCOL):
        raise WireError(
            f"{sender} speaks protocol {protocol} and this process {PROTOCOL}; start all processes"
            " of a run from the same version of locust-cdc"
        )
