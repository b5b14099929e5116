"""No service that the run knows: the user's own pipeline leads from the table to its outlet."""

from __future__ import annotations

from cdc_users.observe.message import FinalSide
from cdc_users.observe.settings import TapSettings
from cdc_users.pipeline.declaration import TransportDeclaration, outlets
from cdc_users.pipeline.prepared import Prepared


def _tap(prepared: Prepared) -> TapSettings:
    kind, _, place = prepared.pipeline.sink_tap.partition(":")
    return outlets().by_name[kind].tap(prepared, place)


def _final(prepared: Prepared) -> FinalSide | None:
    kind, _, place = prepared.pipeline.sink_tap.partition(":")
    return outlets().by_name[kind].final(prepared, place)


NONE = TransportDeclaration(
    "none", "your pipeline", tap=_tap, provision=lambda _: {}, final=_final, named=True
)
