"""Where a pipeline stands that lives, has events waiting and delivers none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

#: A stall is reported after this time; with a look a second that is within ten seconds.
STALLED_S = 7.0
#: How far a slot may fall behind in an idle time without being told.
PINNED_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class FlowSample:
    """How far events have come at one moment: written, in the topic (None where there is no topic
    to look at), at the sink; and what waits in between, where known.
    """

    at_s: float
    sent: int
    captured: int | None
    delivered: int
    slot_lag_bytes: int | None = None
    group_lag: int | None = None
    held: int | None = None


class StallDetector:
    """Takes a flow's samples in order, and reports each stall once, with the place where it stands.

    `patience_s` is how much longer a healthy pipeline may deliver nothing: a commit interval, a
    sink's delay.
    """

    def __init__(self, patience_s: float = 0.0) -> None:
        self._limit_s = STALLED_S + patience_s
        #: The first sample with the newest sample's counts, while something waits.
        self._delivered_since: FlowSample | None = None
        self._captured_since: FlowSample | None = None
        self._told = False

    def see(self, sample: FlowSample) -> str | None:
        """The sentence for a stall that begins to count with this sample; otherwise None."""
        moved = self._delivered_since is None or self._delivered_since.delivered != sample.delivered
        if moved or sample.sent <= sample.delivered:
            self._delivered_since, self._told = sample, False
        captured = self._captured_since
        if captured is None or captured.captured != sample.captured:
            self._captured_since = sample
        since = self._delivered_since
        if since is None or self._told or sample.at_s - since.at_s < self._limit_s:
            return None
        self._told = True
        waiting = sample.sent - sample.delivered
        return (
            f"nothing has come out for {sample.at_s - since.at_s:.0f} s although {waiting} events"
            f" wait: {self._place(sample)}"
        )

    def _place(self, sample: FlowSample) -> str:
        """The first part, counted from the source, that holds events back."""
        if sample.captured is None:
            return f"the capture stands still{_slot(sample)}"
        stands = self._captured_since is not None and (
            sample.at_s - self._captured_since.at_s >= self._limit_s / 2
        )
        if sample.captured < sample.sent and stands:
            missing = sample.sent - sample.captured
            return f"the capture stands still, {missing} events are not in the topic{_slot(sample)}"
        if sample.held:
            return f"the platform holds {sample.held} events in its queues and writes none"
        lag = sample.captured - sample.delivered if sample.group_lag is None else sample.group_lag
        return f"the consumer group is idle, {lag} events behind in the topic"


class IdleSlotDetector:
    """Takes a flow's samples in order, and reports each time without events in which the slot falls
    behind all the same: others write, and its reader confirms nothing.
    """

    def __init__(self) -> None:
        #: The sample with the least lag since the last event came out; None while some wait.
        self._idle_since: FlowSample | None = None
        self._told = False

    def see(self, sample: FlowSample) -> str | None:
        """The sentence for such a time, once; otherwise None."""
        since, lag = self._idle_since, sample.slot_lag_bytes
        if sample.sent != sample.delivered or lag is None:
            self._idle_since, self._told = None, False
            return None
        if since is None or since.slot_lag_bytes is None or since.delivered != sample.delivered:
            self._idle_since, self._told = sample, False
            return None
        if lag <= since.slot_lag_bytes:
            self._idle_since = sample
            return None
        grown, time_s = lag - since.slot_lag_bytes, sample.at_s - since.at_s
        if self._told or time_s < STALLED_S or grown < PINNED_BYTES:
            return None
        self._told = True
        return (
            f"no event waits, but the slot fell {grown / 1e6:.0f} MB behind in {time_s:.0f} s:"
            " others write, and its reader confirms nothing in between, so their WAL is retained"
            " (for Debezium: heartbeat.interval.ms with heartbeat.action.query)"
        )


def _slot(sample: FlowSample) -> str:
    if not sample.slot_lag_bytes:
        return ""
    return f"; its slot does not advance ({sample.slot_lag_bytes / 1e6:.1f} MB behind)"
