"""Why a run's numbers may not be used: one small function for each reason, over facts. Pure.

A timeout is never a result. The figures of an overloaded generator say nothing about the system
(docs/measurement.md, "Verdict").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from cdc_users.measure.judgement.run_facts import HarnessFacts, StepFacts
from cdc_users.measure.judgement.steady import no_steady_state

#: Kafka and Iceberg give times in whole milliseconds; a larger difference means a wrong witness.
WITNESS_LIMIT_MS = 2.0
#: The share of the p50 that may come from the clocks; Kafka and Iceberg give whole milliseconds.
CLOCK_SHARE = 0.1
ROUNDED_MS = 2.0
#: In a paced step one arrival in a hundred may start this late; with more, the generator did not
#: offer its load.
SEND_DELAY_LIMIT_MS = 100.0
#: Other processes' use is noted above the first limits; above both of the second, the figures are
#: those of a crowded machine.
OTHERS_NOTED = 0.15
OTHERS_LIMIT = 0.5
WAITED_LIMIT = 0.5
#: An event loop that wakes up later than this delays the load itself.
LOOP_LAG_P99_LIMIT_MS = 100.0
LOOP_LAG_MAX_LIMIT_MS = 1000.0
#: A generating process uses one core at most; near that, the generator is the slow part.
CPU_SHARE_LIMIT = 0.9
#: The share of the planned arrivals that must have been carried out.
TRAFFIC_SHARE = 0.99
#: The share of the planned arrivals that may be dropped: only a bound of their latency is known.
DROPPED_SHARE = 0.1
#: Wall and monotonic clock may differ by this, however long the run: a clock that is slewed takes
#: both along (clock_gettime(2), CLOCK_MONOTONIC), so only a step makes them differ.
CLOCK_STEP_LIMIT_MS = 100.0


def stopped_early(facts: HarnessFacts) -> Iterator[str]:
    """Somebody stopped the run."""
    if facts.stop_reason:
        yield facts.stop_reason


def nothing_ran(facts: HarnessFacts) -> Iterator[str]:
    """No step reached its load."""
    if not facts.steps and not facts.stop_reason:
        yield "no step has run"


def worker_lost(facts: HarnessFacts) -> Iterator[str]:
    """A worker with lanes is gone, and its last reports with it."""
    if facts.workers_lost:
        yield (
            f"{facts.workers_lost} of {facts.workers} workers"
            f" {'was' if facts.workers_lost == 1 else 'were'} lost; what it had sent and not"
            " reported is unknown, so run again"
        )


def clock_stepped(facts: HarnessFacts) -> Iterator[str]:
    """The wall clock was set, so times of the database and the topic no longer compare with
    ours.
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
            f"{facts.writers_twice} writer numbers belonged to several lanes, so the ledger cannot"
            " be trusted; lower --lanes or --processes, or start all workers before the run"
        )


def fences_incomplete(facts: HarnessFacts) -> Iterator[str]:
    """A missing event may still be on its way."""
    if facts.steps and not facts.fenced:
        yield (
            "the fences did not arrive, so what is missing may still be on its way (unseen, not"
            " lost)"
        )


def retention_overtook(facts: HarnessFacts) -> Iterator[str]:
    """The topic deleted events before they were read: the load's fault, not the consumer's."""
    if facts.retention_lost:
        yield (
            f"the topic's retention overtook the consumer by {facts.retention_lost} events; "
            "raise retention.ms and retention.bytes, or lower the load"
        )


def unexpected_restart(facts: HarnessFacts) -> Iterator[str]:
    """Figures from before and after a restart belong to two different systems."""
    for name in facts.restarts:
        yield f"{name} restarted in mid-run without being asked; its log says why"


def disturbed(facts: HarnessFacts) -> Iterator[str]:
    """Somebody else changed the objects that the run measures and audits."""
    for what in facts.disturbed:
        yield f"{what} in mid-run; keep others away and run again"


def unreadable(facts: HarnessFacts) -> Iterator[str]:
    """An event that cannot be read proves nothing."""
    for what in facts.unreadable:
        yield f"{what}; docs/observer.md lists the forms that are read"


def sink_timed_out(step: StepFacts) -> Iterator[str]:
    """A timeout is never a result."""
    if not step.drained:
        yield "not everything arrived within --drain-timeout; raise it, or lower the load"


def not_conserved(step: StepFacts) -> Iterator[str]:
    """Every arrival that was offered is started or dropped; every one that was started completes or
    fails.
    """
    if step.offered != step.started + step.dropped or step.started != step.completed + step.failed:
        yield (
            f"arrivals do not add up (offered {step.offered}, started {step.started}, dropped"
            f" {step.dropped}, completed {step.completed}, failed {step.failed}); a worker was lost"
            " or stopped"
        )


def samples_missing(step: StepFacts) -> Iterator[str]:
    """A latency that was not recorded is missing from every percentile."""
    if step.samples + step.dropped != step.offered:
        yield (
            f"of {step.offered} arrivals offered, {step.samples} have a latency and {step.dropped}"
            " were dropped; the rest was not recorded"
        )


def too_little_traffic(step: StepFacts) -> Iterator[str]:
    """The load that was asked for was not offered, whatever the reason."""
    carried_out = step.completed + step.failed + step.dropped
    # Failed arrivals were offered too; they fail the run by themselves.
    if carried_out == step.dropped or carried_out < TRAFFIC_SHARE * step.planned:
        yield (
            f"only {carried_out} of {step.planned} arrivals were carried out ({step.completed}"
            " completed)"
        )


def too_much_dropped(step: StepFacts) -> Iterator[str]:
    """The dropped arrivals would have been the slowest; without them the rest looks fast."""
    if step.dropped > DROPPED_SHARE * step.planned:
        yield (
            f"{step.dropped} of {step.planned} arrivals were dropped (limit {DROPPED_SHARE:.0%});"
            " raise --lanes, lower the rate, tolerate more with --late drop:DURATION, or carry all"
            " out with --late catch-up"
        )


def witnesses_disagree(step: StepFacts) -> Iterator[str]:
    """No event is durable before it has arrived, so one of the two witnesses is wrong."""
    if step.witness_early_ms is not None and step.witness_early_ms > WITNESS_LIMIT_MS:
        yield (
            f"the platform says that its events were durable {step.witness_early_ms:.1f} ms (in"
            " the mean) before the sink's tap saw them; its own word (durable) and what was seen"
            " (end_to_end) are both in the result"
        )


def clocks_apart(step: StepFacts) -> Iterator[str]:
    """A latency from one clock to another is known only to within the clocks' bound."""
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
    """The generator fell behind its plan, so it offered less load, and later."""
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
    """While the event loop stands still, no latency is recorded on time."""
    lag_ms, longest_ms = step.loop_lag_ms.get("p99") or 0.0, step.loop_lag_ms.get("max") or 0.0
    if lag_ms > LOOP_LAG_P99_LIMIT_MS or longest_ms > LOOP_LAG_MAX_LIMIT_MS:
        yield (
            f"the generator's event loop stalled (lag p99 {lag_ms:g} ms, max {longest_ms:g} ms); "
            "add --processes or leave the generator more of the machine"
        )


def cpu_saturated(step: StepFacts) -> Iterator[str]:
    """A burst goes as fast as it can; in a paced step a busy generator measures itself."""
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
    """Other processes used so much of the machine that the figures are not the pipeline's."""
    if (step.others_share or 0.0) > OTHERS_LIMIT and max(
        step.waited_share.values(), default=0.0
    ) > WAITED_LIMIT:
        yield f"{_crowd(step)}; leave the machine to the run"


def crowded_note(step: StepFacts) -> str | None:
    """A note where other processes used less than that, but enough to change the figures."""
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
    """The highest percentile for which the samples suffice."""
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
#: Findings that are answers of a probe: the load was too much for the system or the generator.
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
#: Reasons that follow from a stop, and would only repeat it.
BY_STOPPING = (sink_timed_out, not_conserved, samples_missing, too_little_traffic)


def invalid_reasons(facts: HarnessFacts) -> list[str]:
    """Every reason why the numbers may not be used, each with its remedy; empty where there is
    none.

    Of a warm-up, only its completeness is judged.
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
    """A note on arrivals that waited for a free lane: how many lanes the load needs (Little's law).

    It is no reason for INVALID: the send delay decides whether arrivals were too late.
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
