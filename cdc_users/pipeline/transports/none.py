"""No service that the run knows: between a table and where events come out, all is the user's."""

from __future__ import annotations

from collections.abc import Mapping

from cdc_users.observe.message import FinalSide
from cdc_users.observe.settings import TapSettings
from cdc_users.pipeline.declaration import TransportDeclaration, outlets
from cdc_users.pipeline.prepared import Prepared
from cdc_users.pipeline.provision.ground import Ground


def _tap(prepared: Prepared) -> TapSettings:
    kind, _, place = prepared.pipeline.sink_tap.partition(":")
    return outlets().by_name[kind].tap(prepared, place)


def _final(prepared: Prepared) -> FinalSide | None:
    kind, _, place = prepared.pipeline.sink_tap.partition(":")
    return outlets().by_name[kind].final(prepared, place)


def _nothing(ground: Ground) -> Mapping[str, str]:
    del ground
    return {}


NONE = TransportDeclaration(
    "none", "your pipeline", tap=_tap, provision=_nothing, final=_final, named=True
)
