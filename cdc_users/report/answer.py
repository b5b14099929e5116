"""A run's answer in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.measure.judgement.result import Result, StepResult, Verdict
from cdc_users.measure.judgement.scaling import PointRow
from cdc_users.measure.ledger.ledger import CLASSES
from cdc_users.report.capacity import compared_sentence, sentence

#: The audit's classes of defects in an event.
AUDITED = tuple(name for name in CLASSES if name != "unseen")


def answer(result: Result) -> str:
    """The run's answer in one sentence, or that it has none; the result's reasons say why."""
    if result.verdict is Verdict.INVALID:
        return "This run answers nothing: its numbers may not be used."
    if result.verdict not in (Verdict.PASS, Verdict.FAIL) or not result.steps:
        return "This run did not come to an answer."
    if result.capacity is not None:
        return f"{sentence(result.capacity)} {_audited(result).capitalize()}."
    if result.capacities is not None:
        return f"{compared_sentence(result.capacities)} {_audited(result).capitalize()}."
    if result.scaling and result.scaling["points"]:
        return f"{_scaled(result.scaling['points'])}; {_audited(result)}."
    step = largest(result) or max(result.steps, key=_events)
    moved = _moved(step)
    return f"{moved}{_latency(step)}{_bounded(step)}; {_audited(result)}."


def largest(result: Result) -> StepResult | None:
    """The step that represents a run: the judged one with the most events."""
    return max((step for step in result.steps if not step.warm_up), key=_events, default=None)


def _events(step: StepResult) -> int:
    return step.messages or 0


def _scaled(points: Sequence[PointRow]) -> str:
    compared = [point for point in points if not point.get("hasty")]
    if not compared:
        return "No two configurations can be compared, because the drains were too short"
    best = max(compared, key=lambda point: point["speed_up"])
    return (
        f"{_many(best['partitions'], 'partition')} and {_many(best['instances'], 'instance')} "
        f"drained {best['rate_per_s']:,.0f}/s into the {best['sink']} sink, "
        f"{best['speed_up']:.2f} times the first configuration"
    )


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _bounded(step: StepResult) -> str:
    """How full the platform became under more load than its sink could take."""
    share, growth = (
        step.pressure.get("queue_high_water_share"),
        step.pressure.get("memory_growth_mb"),
    )
    if step.pressure.get("time_to_drain_s") is None or share is None:
        return ""
    grew = f" and grew by {growth:,.1f} MB" if growth is not None else ""
    return f", while the platform held at most {share:.0%} of its bound{grew}"


def _moved(step: StepResult) -> str:
    if step.messages is None:
        return f"The rows that {step.name} brought to the sink were compared at the end"
    if step.throughput_per_s is None and step.drain_rate_per_s is None:
        return (
            f"{step.messages:,} events of {step.name} reached the sink (a smoke run, which"
            " publishes no figure)"
        )
    if step.drain_rate_per_s is not None:
        return (
            f"{step.messages:,} waiting events were drained at {step.drain_rate_per_s:,.0f}/s"
            f" ({step.name})"
        )
    return (
        f"{step.messages:,} events reached the sink in {step.duration_s:,.2f} s, "
        f"{step.throughput_per_s:,.0f}/s ({step.name})"
    )


def _latency(step: StepResult) -> str:
    latency = step.latency_ms.get("end_to_end", {})
    known = [(name, latency.get(name)) for name in ("p50", "p99") if latency.get(name) is not None]
    return "".join(f", {name} {value:,.1f} ms" for name, value in known) + (
        " end to end" if known else ""
    )


def _audited(result: Result) -> str:
    if any(step.ledger.get("fences") != "complete" for step in result.steps):
        return "missing events are unseen, not lost, because the fences did not arrive"
    counts = {
        name: sum(int(step.ledger.get(name) or 0) for step in result.steps) for name in AUDITED
    }
    wrong = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join(wrong) if wrong else "none was lost, doubled or reordered"
