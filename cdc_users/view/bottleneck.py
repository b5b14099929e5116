"""Where a run is narrow: the stage in which events spend their time, and the sentence that says
why. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_users.measure.latency.series import PARTS, WAY
from cdc_users.step.timeline_row import TimelineRow
from cdc_users.view.run_view import RunView

#: The parts of an event's end-to-end latency, in the order of their happening.
#: How many of the last seconds "now" means.
RECENT = 5
#: Below this mean a pipeline without a growing backlog has no bottleneck worth the name.
QUICK_MS = 100.0
#: A backlog grows when it gains more than this share of what is sent meanwhile, and was never
#: higher.
GROWTH = 0.05
_SPOKEN = {part.series.name: part.spoken for part in WAY}
_ARTICLE = {
    "source": "the source",
    "capture": "capture",
    "platform": "the platform",
    "sink": "the sink",
}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The narrowest stage, None when the pipeline keeps up, and the sentence that says why."""

    stage: str | None
    words: str


def recent(moments: Sequence[TimelineRow]) -> Sequence[TimelineRow]:
    """The last seconds of the current step."""
    step = moments[-1].step if moments else ""
    return [moment for moment in moments[-RECENT:] if moment.step == step]


def means_ms(moments: Sequence[TimelineRow]) -> dict[str, float]:
    """Mean milliseconds in each part, over what arrived in these seconds; empty when nothing
    did.
    """
    arrived = [moment for moment in moments if moment.mean_ms is not None]
    # A second's means weigh as much as what arrived in it.
    weights = [moment.delivered_per_s or 1.0 for moment in arrived]
    if not arrived:
        return {}
    total = sum(weights)
    return {
        part: (
            sum(
                weight * (getattr(moment, f"{part}_ms") or 0.0)
                for weight, moment in zip(weights, arrived, strict=True)
            )
            / total
        )
        for part in PARTS
    }


def grows(moments: Sequence[TimelineRow]) -> bool:
    """Whether the backlog of these seconds grows by more than a trifle of what is sent."""
    if len(moments) < 2:
        return False
    sent = moments[-1].sent - moments[0].sent
    last = moments[-1].backlog
    return last - moments[0].backlog > max(1.0, GROWTH * sent) and last == max(
        moment.backlog for moment in moments
    )


def narrowest(run: RunView) -> Bottleneck:
    """Where the run is narrow now; once it has concluded, where its last step was."""
    if run.result is None:
        return bottleneck(recent(run.moments))
    step = run.moments[-1].step if run.moments else ""
    return bottleneck([moment for moment in run.moments if moment.step == step])


def bottleneck(last: Sequence[TimelineRow]) -> Bottleneck:
    """Where events spend their time in these seconds, and so which stage holds the others up."""
    means = means_ms(last)
    if not means:
        return Bottleneck(None, "Nothing has arrived at the sink in the last seconds.")
    total = sum(means.values())
    part = max(means, key=lambda name: means[name])
    share = means[part] / total if total > 0 else 0.0
    growing = grows(last)
    tail = f"{means[part]:,.1f} of {total:,.1f} ms end to end ({share:.0%})"
    if total < QUICK_MS and not growing:
        return Bottleneck(
            None, f"The pipeline keeps up. Its longest stage is {_SPOKEN[part]}: {tail}."
        )
    stage, why = _cause(part, last[-1])
    trend = f", and the backlog of {last[-1].backlog:,} events grows" if growing else ""
    return Bottleneck(stage, f"The bottleneck is {_ARTICLE[stage]}: {why}, {tail}{trend}.")


def _cause(part: str, moment: TimelineRow) -> tuple[str, str]:
    """The stage that makes events wait there.

    A queue waits for the sink behind it, and so does a paused partition.
    """
    if part == "commit":
        return "source", "events wait to be written and committed"
    if part == "capture":
        return "capture", "committed events wait to be captured"
    if part == "fetch" and moment.paused_partitions:
        paused = (
            "1 partition is"
            if moment.paused_partitions == 1
            else f"{moment.paused_partitions} partitions are"
        )
        return "sink", f"{paused} paused for it and events wait in the topic"
    if part == "fetch":
        return "platform", "events wait in the topic until it fetches them"
    if part == "queue":
        return "sink", "events wait for it in the platform's queues"
    return "sink", "its writes take the time"
