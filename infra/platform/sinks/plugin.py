"""The record of a sink, and the sinks that exist.

A sink is a module in this folder, or a folder here with a module `plugin`, that has a SinkPlugin;
or an installed distribution's entry point in the group `locust_cdc.platform.sinks` (CONTRIBUTING.md
has the steps). Declarations are light: `make` imports the sink's libraries, so only a chosen sink
needs them.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infra.platform.process.argument import Argument
from infra.platform.sinks.connector import SinkConnector
from infra.plugin import Offer, offered

GROUP = "locust_cdc.platform.sinks"


def _none(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:  # noqa: ARG001 - finds nothing
    return []


def _common_interval_s(options: argparse.Namespace) -> float:
    return int(options.flush_interval_ms) / 1000


@dataclass(frozen=True, slots=True)
class SinkPlugin:
    """A sink as the platform's command line knows it.

    `make` returns the sink, not yet opened; it gets the options after all checks. `arguments` are
    the sink's own options, and each is checked by itself wherever it is given. `mistakes` checks
    them together, and is called only for the chosen sink. `flush_interval_s` is how often a sink
    that only accepts is flushed. `real` sinks are listed behind those made for measuring.
    """

    name: str
    make: Callable[[argparse.Namespace], SinkConnector]
    arguments: Sequence[Argument] = ()
    mistakes: Callable[[argparse.Namespace, Mapping[str, str]], list[str]] = _none
    flush_interval_s: Callable[[argparse.Namespace], float] = _common_interval_s
    real: bool = True


@functools.cache
def sinks() -> Offer[SinkPlugin]:
    """Every sink by name, those made for measuring first."""
    return offered("infra.platform.sinks", SinkPlugin, GROUP, lambda sink: (sink.real, sink.name))
