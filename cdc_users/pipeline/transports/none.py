"""No service that the run knows: the user's own pipeline leads from the table to its outlets."""

from __future__ import annotations

from cdc_users.observe.settings import TapSettings
from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared
from cdc_users.pipeline.sink_tap import sink_taps


def _tap(prepared: Prepared) -> TapSettings:
    """The last place where events come out."""
    tap = sink_taps(prepared.pipeline.sink_tap)[-1]
    return tap.outlet.tap(prepared, tap.place)


NONE = TransportDeclaration("none", "your pipeline", tap=_tap, provision=lambda _: {}, named=True)
