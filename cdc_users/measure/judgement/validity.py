"""Why a run's numbers may not be used: one small function a reason, over plain facts. Pure.

A timeout is never a result, and a figure of a generator that was busy with itself says nothing
about the system (docs/measurement.md, "Verdict").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from cdc_users.measure.judgement.run_facts import HarnessFacts, StepFacts
from cdc_users.measure.judgement.steady import no_steady_state

#: Kafka and Iceberg tell times to the millisecond; beyond that a witness is wrong.
WITNESS_LIMIT_MS = 2.0
#: Of the p50, so much may be the clocks' doing; times of Kafka and Iceberg are whole milliseconds.
CLOCK_SHARE = 0.1
ROUNDED_MS = 2.0
#: In a paced step the generator may start one arrival in a hundred this late; beyond it did not
#: offer its load.
SEND_DELAY_LIMIT_MS = 100.0
#: Others are noted from here on; beyond both limits the figures are no longer the pipeline's.
OTHERS_NOTED = 0.15
OTHERS_LIMIT = 0.5
WAITED_LIMIT = 0.5
#: An event loop that wakes later than this measures itself.
LOOP_LAG_P99_LIMIT_MS = 100.0
LOOP_LAG_MAX_LIMIT_MS = 1000.0
#: A generating process is one core at most; near it, what is slow is the generator.
CPU_SHARE_LIMIT = 0.9
#: Of the arrivals that were planned, so many must have been carried out.
TRAFFIC_SHARE = 0.99
#: Of the arrivals that were planned, so many may be dropped: of them only a bound is known.
DROPPED_SHARE = 0.1
#: Wall and monotonic clock may part by this, however long the run: a clock that is slewed takes
#: both along (clock_gettime(2), CLOCK_MONOTONIC), so only a step parts them.
CLOCK_STEP_LIMIT_MS = 100.0


def stopped_early(facts: HarnessFacts) -> Iterator[str]:
    """Somebody ended the run."""
    if facts.stop_reason:
        yield facts.stop_reason


def nothing_ran(facts: HarnessFacts) -> Iterator[str]:
    """No step came to its load."""
    if not facts.steps and not facts.stop_reason:
        yield "no step has run"


def worker_lost(facts: HarnessFacts) -> Iterator[str]:
    """A process with lanes is gone, and with it what it had to report."""
    if facts.workers_lost:
        yield (
            f"{facts.workers_lost} of {facts.workers} workers"
            f" {'was' if facts.workers_lost == 1 else 'were'} lost; what it had sent and not"
            " reported is unknown, so run again"
        )


def clock_stepped(facts: HarnessFacts) -> Iterator[str]:
    """The wall clock was set; times of the database and of the topic cannot be compared with ours
    any more.
    """
    if abs(facts.clock_step_ms) > CLOCK_STEP_LIMIT_MS:
        yield (
            f"the wall clock was moved by {facts.clock_step_ms:.0f} ms during the run; keep it"
            " steady and run again"
        )


def writers_confused(facts: HarnessFacts) -> Iterator[str]:
    """The ledger tells writers apart by their numbers; of two with one number it knows only the
    last.
    """
    if facts.writers_twice:
        yield (
            f"{facts.writers_twice} writer numbers were not one lane's alone, so the ledger cannot"
            " be trusted; lower --lanes or --processes, or start all workers before the run"
        )


def fences_incomplete(facts: HarnessFacts) -> Iterator[str]:
    """What is missing may still be on its way."""
    if facts.steps and not facts.fenced:
        yield (
            "the fences did not arrive, so what is missing may still be on its way (unseen, not"
            " lost)"
        )


def retention_overtook(facts: HarnessFacts) -> Iterator[str]:
    """The topic deleted what nobody had read yet: the load's fault, not the consumer's."""
    if facts.retention_lost:
        yield (
            f"the topic's retention overtook the consumer by {facts.retention_lost} events; "
            "raise retention.ms and retention.bytes, or lower the load"
        )


def unexpected_restart(facts: HarnessFacts) -> Iterator[str]:
    """Figures from before and after a restart are those of two systems."""
    for name in facts.restarts:
        yield f"{name} restarted in mid-run without being asked; its log says why"


def disturbed(facts: HarnessFacts) -> Iterator[str]:
    """Somebody else was at work on what the run measures and audits."""
    for what in facts.disturbed:
        yield f"{what} in mid-run; keep others away and run again"


def unreadable(facts: HarnessFacts) -> Iterator[str]:
    """What cannot be read accuses nobody, and audits nothing."""
    for what in facts.unreadable:
        yield f"{what}; docs/observer.md lists the forms that are read"


def sink_timed_out(step: StepFacts) -> Iterator[str]:
    """A timeout is never a result."""
    if not step.drained:
        yield "not everything arrived within --drain-timeout; raise it, or lower the load"


def not_conserved(step: StepFacts) -> Iterator[str]:
    """Every arrival that was offered is started or dropped, and everything started completes or
    fails.
    """
    if step.offered != step.started + step.dropped or step.started != step.completed + step.failed:
        yield (
            f"arrivals do not add up (offered {step.offered}, started {step.started}, dropped"
            f" {step.dropped}, completed {step.completed}, failed {step.failed}); a worker was lost"
            " or stopped"
        )


def samples_missing(step: StepFacts) -> Iterator[str]:
    """A latency that was not recorded is an omission in every percentile."""
    if step.samples + step.dropped != step.offered:
        yield (
            f"of {step.offered} arrivals offered, {step.samples} have a latency and {step.dropped}"
            " were dropped; the rest was not recorded"
        )


def too_little_traffic(step: StepFacts) -> Iterator[str]:
    """What was asked for was not offered, whatever the reason."""
    carried_out = step.completed + step.failed + step.dropped
    # Arrivals that failed were offered, and fail the run themselves.
    if carried_out == step.dropped or carried_out < TRAFFIC_SHARE * step.planned:
        yield (
            f"only {carried_out} of {step.planned} arrivals were carried out ({step.completed}"
            " completed)"
        )


def too_much_dropped(step: StepFacts) -> Iterator[str]:
    """The arrivals that were dropped are those that would have been slowest; without them the rest
    looks fast.
    """
    if step.dropped > DROPPED_SHARE * step.planned:
        yield (
            f"{step.dropped} of {step.planned} arrivals were dropped (limit {DROPPED_SHARE:.0%});"
            " raise --lanes, lower the rate, tolerate more with --late drop:DURATION, or carry all"
            " out with --late catch-up"
        )


def witnesses_disagree(step: StepFacts) -> Iterator[str]:
    """Nothing is durable before it has come; one of two witnesses is wrong."""
    if step.witness_early_ms is not None and step.witness_early_ms > WITNESS_LIMIT_MS:
        yield (
            f"the platform says that its events were durable {step.witness_early_ms:.1f} ms (in"
            " the mean) before the sink's tap saw them; its own word (durable) and what was seen"
            " (end_to_end) are both in the result"
        )


def clocks_apart(step: StepFacts) -> Iterator[str]:
    """A latency that begins by one clock and ends by another is known to within their bound."""
    bound_ms = step.clock_bound_ms
    if bound_ms is not None and bound_ms < 0:
        yield (
            "how far the clock of a worker's host is off is not known; check that master and worker"
            " have the same version of this package, and run again"
        )
    elif (
        step.mode == "paced"
        and bound_ms
        and bound_ms > CLOCK_SHARE * (step.end_to_end_p50_ms or math.inf)
    ):
        yield (
            f"clocks are known to within {bound_ms:.3g} ms only, and the end-to-end p50 is"
            f" {step.end_to_end_p50_ms:.3g} ms (limit {CLOCK_SHARE:.0%} of it); bring the hosts"
            " nearer, or keep their clocks together"
        )
    tolerated_ms = max(0.0, bound_ms or 0.0) + ROUNDED_MS
    if step.least_ms is not None and step.least_ms < -tolerated_ms:
        yield (
            f"an event was seen {-step.least_ms:.1f} ms before it was due; the clocks of two hosts"
            " differ by more than is known, or somebody else made the event"
        )


def behind_plan(step: StepFacts) -> Iterator[str]:
    """The generator could not keep to its plan; what it offered was less, and later."""
    if step.mode != "paced":
        return
    own_name, own_ms = _tail(step.own_delay_ms)
    name, delay_ms = _tail(step.send_delay_ms)
    if own_ms > SEND_DELAY_LIMIT_MS:
        yield (
            f"the generator was behind its plan (own delay {own_name} {own_ms:g} ms, limit"
            f" {SEND_DELAY_LIMIT_MS:g} ms); leave it more of the machine, lower the rate or add"
            " --processes"
        )
    elif delay_ms > SEND_DELAY_LIMIT_MS and step.lanes_short:
        yield (
            f"the generator was behind its plan (send delay {name} {delay_ms:g} ms, limit"
            f" {SEND_DELAY_LIMIT_MS:g} ms); lower the rate, raise --lanes or add --processes"
        )


def loop_stalled(step: StepFacts) -> Iterator[str]:
    """While the event loop stands still nobody's time is taken."""
    lag_ms, longest_ms = step.loop_lag_ms.get("p99") or 0.0, step.loop_lag_ms.get("max") or 0.0
    if lag_ms > LOOP_LAG_P99_LIMIT_MS or longest_ms > LOOP_LAG_MAX_LIMIT_MS:
        yield (
            f"the generator's event loop stalled (lag p99 {lag_ms:g} ms, max {longest_ms:g} ms); "
            "add --processes or leave the generator more of the machine"
        )


def cpu_saturated(step: StepFacts) -> Iterator[str]:
    """A burst goes as fast as it can; in a paced step a busy generator is what is being
    measured.
    """
    if (
        step.mode == "paced"
        and step.cpu_cores is not None
        and step.cpu_cores > CPU_SHARE_LIMIT * step.processes
    ):
        yield (
            f"the generator's processors were saturated ({step.cpu_cores:.2f} cores in"
            f" {step.processes} process{'es' if step.processes > 1 else ''}); add --processes or"
            " lower the rate"
        )


def crowded(step: StepFacts) -> Iterator[str]:
    """Others had so much of the machine that the figures are those of what they left."""
    if (step.others_share or 0.0) > OTHERS_LIMIT and max(
        step.waited_share.values(), default=0.0
    ) > WAITED_LIMIT:
        yield f"{_crowd(step)}; leave the machine to the run"


def crowded_note(step: StepFacts) -> str | None:
    """What to say where others had less than that, but enough to be seen in the figures."""
    if (step.others_share or 0.0) <= OTHERS_NOTED or any(crowded(step)):
        return None
    return f"{step.name}: {_crowd(step)}; a quiet machine may be faster"


def _crowd(step: StepFacts) -> str:
    waits = ", ".join(f"{name} {share:.0%}" for name, share in step.waited_share.items())
    return (
        f"others used {step.others_share:.0%} of this machine's processors, and the run's processes"
        f" waited for one in a part of their time ({waits})"
    )


def _tail(summary: dict[str, float | int | None]) -> tuple[str, float]:
    """The highest percentile that the count of samples bears out."""
    for name in ("p99", "p95", "max"):
        if (value := summary.get(name)) is not None:
            return name, float(value)
    return "p99", 0.0


OF_RUN: tuple[Callable[[HarnessFacts], Iterator[str]], ...] = (
    stopped_early,
    nothing_ran,
    worker_lost,
    clock_stepped,
    writers_confused,
    fences_incomplete,
    retention_overtook,
    unexpected_restart,
    disturbed,
    unreadable,
)
OF_STEP: tuple[Callable[[StepFacts], Iterator[str]], ...] = (
    sink_timed_out,
    not_conserved,
    samples_missing,
    too_little_traffic,
    too_much_dropped,
    witnesses_disagree,
    clocks_apart,
    behind_plan,
    loop_stalled,
    cpu_saturated,
    crowded,
    no_steady_state,
)
#: What a probe may find: that the load was too much for the system, or for the generator.
OF_A_LOAD_THAT_HOLDS = (
    sink_timed_out,
    not_conserved,
    samples_missing,
    too_little_traffic,
    too_much_dropped,
    behind_plan,
    loop_stalled,
    cpu_saturated,
    no_steady_state,
)
#: These follow from being stopped, and would only repeat it.
BY_STOPPING = (sink_timed_out, not_conserved, samples_missing, too_little_traffic)


def invalid_reasons(facts: HarnessFacts) -> list[str]:
    """Every reason why the numbers may not be used, each with its remedy; none where they may.

    A warm-up must only be whole.
    """
    found = [reason for judge in OF_RUN for reason in judge(facts)]
    for step in facts.steps:
        for judge in OF_STEP:
            if (facts.stop_reason and judge in BY_STOPPING) or (
                step.warm_up and judge not in BY_STOPPING
            ):
                continue
            if step.probe and judge in OF_A_LOAD_THAT_HOLDS:
                continue
            found += [f"{step.name}: {reason}" for reason in judge(step)]
    return found


def lanes_note(
    step: StepFacts, exhausted: int, lanes: int, rate_per_s: float, service_mean_ms: float | None
) -> str | None:
    """What to say when arrivals had to wait for a free lane: how many lanes the load needs
    (Little's law).

    A note and no reason: whether it was too late to be valid is for the send delay to say.
    """
    if step.mode != "paced" or not exhausted or service_mean_ms is None:
        return None
    needed = math.ceil(rate_per_s * service_mean_ms / 1000)
    text = (
        f"{step.name}: {exhausted} of {step.offered} arrivals were late because all {lanes} lanes"
        f" were busy; {rate_per_s:g}/s x {service_mean_ms:g} ms service time needs "
    )
    if needed < lanes:
        return (
            f"{text}{needed} lane{'s' * (needed != 1)} on average, so it was a stall or a burst;"
            f" --lanes {lanes * 2}"
            " would ride it out"
        )
    return f"{text}at least {needed + 1}: raise --lanes"
