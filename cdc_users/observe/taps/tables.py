"""Several tables as one tap: each is watched by a tap of its own, and all have one record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import TapSettings, listed_tables
from cdc_users.observe.tap import ObservedRecord, Tap

#: Makes the tap of one table, with the record that it writes to; None: a record of its own.
MakeTap = Callable[[Any, str, Anchor, ObservedRecord | None], Tap]


class TablesTap(Tap):
    """The tap: starts and stops those of its tables together."""

    def __init__(
        self,
        make: MakeTap,
        settings: TapSettings,
        tables: tuple[str, ...],
        run: str,
        anchor: Anchor,
    ) -> None:
        self.record = ObservedRecord(run)
        self._taps = {
            table: make(
                replace(settings, table=table, own=settings.own[number : number + 1]),
                run,
                anchor,
                self.record,
            )
            for number, table in enumerate(tables)
        }
        self.kind = next(iter(self._taps.values())).kind

    @override
    def start(self) -> TapPlace:
        return [tap.start() for tap in self._taps.values()][-1]

    @override
    def stop(self) -> None:
        for tap in self._taps.values():
            tap.stop()

    @override
    def gauges(self) -> dict[str, object]:
        return {table: tap.gauges() for table, tap in self._taps.items()}


def of_tables(make: MakeTap) -> Callable[[Any, str, Anchor], Tap]:
    """Makes a tap of one table or several, as its settings name them."""

    def made(settings: Any, run: str, anchor: Anchor) -> Tap:
        tables = listed_tables(settings.table)
        if len(tables) == 1:
            return make(settings, run, anchor, None)
        return TablesTap(make, settings, tables, run, anchor)

    return made
