"""How many events wait at each stage of a run's pipeline, from one second's figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.measure.latency.series import BOXES
from cdc_users.step.timeline_row import TimelineRow


def waiting(moment: TimelineRow) -> int | None:
    """Events that wait in the topic.

    The group's lag counts from committed offsets, so it includes delivered events that are not
    committed yet. The number of events that were sent and are neither held nor delivered bounds it.
    """
    if moment.consumer_lag is None:
        return None
    return max(0, min(moment.consumer_lag, moment.backlog - held(moment)))


def held(moment: TimelineRow) -> int:
    """Events that the platform holds in memory."""
    return (moment.queue_depth or 0) + (moment.in_flight or 0)


def positions(moment: TimelineRow) -> dict[str, int | None]:
    """How many of the step's events have passed each stage, as far as that second's figures
    show.
    """
    polled = moment.delivered + held(moment) if moment.queue_depth is not None else None
    lag = waiting(moment)
    appended = polled + lag if polled is not None and lag is not None else None
    return {
        "source": moment.sent,
        "capture": appended,
        "topic": appended,
        "platform": polled,
        "sink": moment.delivered,
    }


def backlog(moments: Sequence[TimelineRow]) -> dict[str, str]:
    """The backlog at each stage, in words with units."""
    if not moments:
        return dict.fromkeys(BOXES, "–")
    now = moments[-1]
    appended = positions(now)["capture"]
    uncaptured = "–" if appended is None else f"{max(0, now.sent - appended):,} events"
    slot = "" if now.slot_lag_bytes is None else f", {now.slot_lag_bytes / 1e6:,.1f} MB"
    paused = f", {now.paused_partitions} paused" if now.paused_partitions else ""
    return {
        "source": f"{max(0, now.offered - now.completed - now.failed):,} arrivals",
        "capture": uncaptured + slot,
        "topic": _events(waiting(now)),
        "platform": _events(now.queue_depth) + paused,
        "sink": _events(now.in_flight),
    }


def _events(count: int | None) -> str:
    return "–" if count is None else f"{count:,} events"
