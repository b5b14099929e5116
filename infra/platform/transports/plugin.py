"""The record of a transport, and the transports that exist.

A transport is a module in this folder with a TransportPlugin, or an installed distribution's entry
point in the group `locust_cdc.platform.transports` (CONTRIBUTING.md has the steps). `connect`
imports the service's client, so only a chosen transport needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.platform.transports.naming import Naming
from infra.platform.transports.transport import WalPublisher
from infra.plugin import Offer, offered

GROUP = "locust_cdc.platform.transports"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a publisher's records go. `project` is Pub/Sub's; `partitions` are virtual ones."""

    endpoint: str
    streams: Sequence[str]
    project: str
    partitions: int


def _any_endpoint(flag: str, endpoint: str) -> list[str]:  # noqa: ARG001 - finds nothing
    return []


@dataclass(frozen=True, slots=True)
class TransportPlugin:
    """A transport as the direct reader's command line knows it.

    `connect` sends the service one request, so that a wrong address shows at once, and returns the
    publisher; it raises UnreachableError that says what was tried. `naming` has the service's rules
    for streams. `variable` is the environment's variable for the endpoint, if the option is not
    given; `endpoint_mistakes` gets the flag or the variable, and the endpoint, which may be empty.
    `hint` describes the endpoint in `--help`. `package` is what a slim installation lacks, and
    `extra` brings it.
    """

    name: str
    connect: Callable[[Destination], WalPublisher]
    naming: Naming
    variable: str = ""
    endpoint_mistakes: Callable[[str, str], list[str]] = _any_endpoint
    hint: str = ""
    package: str = ""
    extra: str = ""


@functools.cache
def transports() -> Offer[TransportPlugin]:
    """Every transport by name."""
    return offered(
        "infra.platform.transports",
        TransportPlugin,
        GROUP,
        lambda transport: (transport.name == "null", transport.name),
    )
