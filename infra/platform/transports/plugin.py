"""What a transport declares, and which transports there are.

A transport is a module in this folder that has a TransportPlugin; or an installed distribution's
entry point in the group `locust_cdc.platform.transports` (CONTRIBUTING.md goes through it step by
step). A service's client is imported in `connect`, only where that transport is chosen.
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

    `connect` asks the service once, so that a wrong address shows at once, and gives the publisher;
    it raises UnreachableError with what was tried. `naming` are the service's rules for streams.
    `variable` names the environment's word for the endpoint, where the option has none;
    `endpoint_mistakes` gets the flag or the variable, and the endpoint, which may be empty.
    `hint` is the endpoint's form, for `--help`. `package` is what a slim installation lacks and
    the `extra` brings.
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
