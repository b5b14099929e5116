"""The record of a tap, and the kinds of tap.

A kind of tap is a module in `taps/` with a TapDeclaration, or an installed distribution's entry
point in the group `locust_cdc.taps` (CONTRIBUTING.md has the steps).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cdc_users.measure.clock import Anchor
from cdc_users.observe.settings import TapSettings
from cdc_users.observe.tap import Tap
from infra.plugin import Offer, offered

GROUP = "locust_cdc.taps"


@dataclass(frozen=True, slots=True)
class TapDeclaration:
    """A kind of tap.

    `make` gets the tap's settings, the run and the host's clock, and connects to nothing yet. A
    configuration must have all of `needs`, and one of `either` if there are any.
    """

    name: str
    make: Callable[[Any, str, Anchor], Tap]
    settings: type[TapSettings]
    needs: tuple[str, ...] = ()
    either: tuple[str, ...] = ()


@functools.cache
def tap_kinds() -> Offer[TapDeclaration]:
    """Every kind of tap by name."""
    return offered("cdc_users.observe.taps", TapDeclaration, GROUP, lambda tap: (tap.name,))
