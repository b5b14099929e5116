"""The bottleneck of a run: the stage in which events spend most of their time, and a sentence with
the reason. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cdc_users.measure.latency.series import AWAITED, PARTS, WAY
from cdc_users.report.answer import largest
from cdc_users.step.timeline_row import TimelineRow
from cdc_users.view.run_view import RunView

#: How many of the last seconds count as "now".
RECENT = 5
#: Below this mean latency, a pipeline without a growing backlog has no bottleneck.
QUICK_MS = 100.0
#: A backlog grows if it gains more than this share of the events that are sent meanwhile, and was
#: never higher.
GROWTH = 0.05
_SPOKEN = {part.series.name: part.spoken for part in WAY}
_WAIT = {part.series.name: part.wait for part in WAY}
_ARTICLE = {
    "source": "the source",
    "capture": "capture",
    "platform": "the platform",
    "sink": "the sink",
}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The limiting stage (None if the pipeline keeps up), and the sentence that explains it."""

    stage: str | None
    words: str
    #: The mean time of an event in each stage in milliseconds, with its waits for the stage.
    costs_ms: Mapping[str, float] = field(default_factory=dict)


def recent(moments: Sequence[TimelineRow]) -> Sequence[TimelineRow]:
    """The last few seconds of the current step."""
    step = moments[-1].step if moments else ""
    return [moment for moment in moments[-RECENT:] if moment.step == step]


def means_ms(moments: Sequence[TimelineRow]) -> dict[str, float]:
    """Mean milliseconds in each part over the events of these seconds; empty if there were none."""
    arrived = [moment for moment in moments if moment.mean_ms is not None]
    # A second's means are weighted by the number of its events.
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
    """Whether the backlog of these seconds grows by more than a negligible share."""
    if len(moments) < 2:
        return False
    sent = moments[-1].sent - moments[0].sent
    last = moments[-1].backlog
    return last - moments[0].backlog > max(1.0, GROWTH * sent) and last == max(
        moment.backlog for moment in moments
    )


def narrowest(run: RunView) -> Bottleneck:
    """The bottleneck now; after the conclusion, the bottleneck under the run's load."""
    if run.result is None:
        return bottleneck(recent(run.moments))
    return bottleneck(under_load(run), over=True)


def under_load(run: RunView) -> list[TimelineRow]:
    """The seconds of the run's largest judged step, until the end of its load."""
    step = largest(run.result) if run.result is not None else None
    moments = [one for one in run.moments if step is not None and one.step == step.name]
    sent = moments[-1].sent if moments else 0
    loaded = [one for one in moments if one.sent < sent and one.mean_ms is not None]
    return loaded or moments


def bottleneck(last: Sequence[TimelineRow], *, over: bool = False) -> Bottleneck:
    """The stage in which events spent most of their time in these seconds; `over` chooses the past
    tense.
    """
    means = means_ms(last)
    if not means:
        return Bottleneck(
            None, "Nothing has arrived at the sink" + ("." if over else " in the last seconds.")
        )
    paused = _most_paused(last)
    causes = {part: _cause(part, paused) for part in means}
    costs = {
        stage: sum(means[part] for part in means if causes[part][0] == stage)
        for stage in dict.fromkeys(stage for stage, _ in causes.values())
    }
    stage = max(costs, key=lambda name: costs[name])
    part = max((name for name in means if causes[name][0] == stage), key=lambda name: means[name])
    total = sum(means.values())
    growing = grows(last) and not over
    if total < QUICK_MS and not growing:
        longest = max(means, key=lambda name: means[name])
        return Bottleneck(
            None,
            f"The pipeline {'kept' if over else 'keeps'} up. Its longest stage"
            f" {'was' if over else 'is'} {_SPOKEN[longest]}: {_share(means[longest], total)}.",
            costs,
        )
    trend = f", and the backlog of {last[-1].backlog:,} events grows" if growing else ""
    words = (
        f"The bottleneck {'of the run was' if over else 'is'} {_ARTICLE[stage]}:"
        f" {causes[part][1]}, {_share(means[part], total)}{trend}."
    )
    return Bottleneck(stage, words, costs)


def _share(mean_ms: float, total_ms: float) -> str:
    share = mean_ms / total_ms if total_ms > 0 else 0.0
    return f"{mean_ms:,.1f} of {total_ms:,.1f} ms end to end ({share:.0%})"


def _most_paused(moments: Sequence[TimelineRow]) -> int:
    return max((moment.paused_partitions or 0 for moment in moments), default=0)


def _cause(part: str, paused: int) -> tuple[str, str]:
    """The stage that makes events wait, and how; a paused partition waits for the sink."""
    if part == "fetch" and paused:
        partitions = "1 partition is" if paused == 1 else f"{paused} partitions are"
        return "sink", f"{partitions} paused for it and events wait in the topic"
    return AWAITED[part], _WAIT[part]
