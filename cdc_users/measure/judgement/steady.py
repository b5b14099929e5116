"""Whether a pipeline kept up with a load while it lasted: by the trend of its backlog, and by the
events that were still on their way when the load ended. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cdc_users.measure.judgement.backlog import (
    ProgressSample,
    backlog_ages_s,
    expected_per_s,
    pair_slopes,
    settled_from,
)
from cdc_users.measure.judgement.run_facts import StepFacts

#: A backlog that grows by more than this share of the offered load, and by more than so many
#: seconds of load, is no steady state.
GROWTH_SHARE = 0.01
GROWTH_S = 0.1
#: The pairs of looks that show growth must outnumber those that show shrinking by this share.
GROWTH_CERTAINTY = 0.5
#: With few looks the demands are higher, or chance would pass for a trend.
GROWTH_CERTAINTY_OF_FEW = 0.9
GROWTH_S_OF_FEW = 0.25
MANY_LOOKS, FEWEST_LOOKS = 8, 4
#: When the load ends, the last events may take longer than usual by this share of the load's
#: duration, and by this much in any case: a single pause is no backlog.
LEFT_SHARE = 0.05
LEFT_S = 0.25
#: A trend can be judged from this duration on; a step that has no trend must last as long.
JUDGED_S = 10.0


def no_steady_state(step: StepFacts) -> Iterator[str]:
    """More events went in than came out while the load was held."""
    if step.mode != "paced" or not step.steady:
        return
    growth = backlog_growth(step.looks)
    if growth > 0:
        offered_per_s = expected_per_s(step.looks)
        yield (
            f"no steady state: the backlog grew by {growth * offered_per_s:.1f} events/s under"
            f" {offered_per_s:.0f}/s; lower the rate to what the pipeline can hold"
        )
        return
    yield from _left_behind(step)


def _left_behind(step: StepFacts) -> Iterator[str]:
    """The last events took longer to arrive than the latency until then explains."""
    if step.loaded_s is None or step.left_s is None:
        return
    ages_s = backlog_ages_s(step.looks)
    usual_s = max(
        (step.end_to_end_p50_ms or 0.0) / 1000,
        float(ages_s[: len(ages_s) // 2].max()) if len(ages_s) >= FEWEST_LOOKS else 0.0,
    )
    if step.left_s - usual_s <= max(LEFT_S, LEFT_SHARE * step.loaded_s):
        return
    facts = (
        f"after {step.loaded_s:.1f} s of load the last events took {step.left_s:.1f} s to arrive,"
        f" where {usual_s:.1f} s had been usual"
    )
    if step.loaded_s < JUDGED_S:
        yield (
            f"too short to judge whether a backlog grows: {facts}; hold the load for"
            f" {JUDGED_S:g} s or more (--duration), or lower the rate"
        )
    else:
        yield (
            f"no steady state: {facts}; lower the rate to what the pipeline can hold, or hold the"
            " load for longer"
        )


def backlog_growth(looks: Sequence[ProgressSample]) -> float:
    """The share of the offered load that stayed behind, once the step had started up; 0 where no
    trend is certain.

    This is the trend of the backlog's age, which stays constant at constant latency, whatever the
    rate does. The trend is the median of the slopes between all pairs (Theil and Sen), which single
    stalls and bursts do not move; it counts if the pairs agree (Kendall's tau).
    """
    ages_s = backlog_ages_s(looks)
    start = settled_from(len(looks))
    at_s, settled = np.array([look.elapsed_s for look in looks])[start:], ages_s[start:]
    if len(settled) < FEWEST_LOOKS:
        return 0.0
    few = len(settled) < MANY_LOOKS
    certainty = GROWTH_CERTAINTY_OF_FEW if few else GROWTH_CERTAINTY
    slopes = pair_slopes(at_s, settled)
    growth = float(np.median(slopes)) if len(slopes) else 0.0
    grown_s = growth * float(at_s[-1] - at_s[0])
    if growth <= GROWTH_SHARE or grown_s <= (GROWTH_S_OF_FEW if few else GROWTH_S):
        return 0.0
    return growth if np.sign(slopes).mean() > certainty else 0.0
