"""Problems of a run that are known before its end, warnings, and the verdict so far. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cdc_users.view.narrow_stage import grows, recent
from cdc_users.view.run_view import RunView, current

#: A backlog is reported after it has grown for this many seconds; before, the step may be starting.
GROWING = 5
#: The generator is late if more than this share of the due arrivals has not started.
LATE_SHARE = 0.05


def concerns(run: RunView) -> list[str]:
    """Problems that are known before the audit."""
    found = [f"the platform reports: {error}" for error in run.look.platform.errors]
    for state in run.states:
        failed = state.total("failed")
        seen = run.look.sink.steps.get(state.number)
        if failed:
            found.append(f"{state.step.name}: {failed} arrivals failed")
        if seen is not None and seen.duplicated:
            found.append(f"{state.step.name}: {seen.duplicated} events arrived more than once")
    return found


def warnings(run: RunView) -> list[str]:
    """Conditions that may become the reason of a verdict; each is reported while it is true."""
    state = current(run)
    if run.result is not None or state is None or not run.moments or state.loaded_us:
        return []
    return [*_growth(run), *_lateness(run)] if state.step.mode == "paced" else []


def _growth(run: RunView) -> Iterator[str]:
    last = recent(run.moments)
    if len(last) >= GROWING and grows(last):
        gained = (last[-1].backlog - last[0].backlog) / (last[-1].elapsed_s - last[0].elapsed_s)
        yield (
            f"the backlog grows by {gained:,.0f} events a second: {last[-1].backlog:,} were sent"
            " and not delivered"
        )


def _lateness(run: RunView) -> Iterator[str]:
    now = run.moments[-1]
    behind = now.offered - now.started
    if now.offered_per_s and behind > max(10.0, LATE_SHARE * now.offered):
        yield (
            f"{behind:,} arrivals that are due have not been started: lanes or the source are too"
            " slow for this load"
        )


def verdict(run: RunView) -> str:
    """The verdict, or the verdict so far."""
    if run.result is not None:
        return run.result.verdict.value
    if concerns(run):
        return "trouble so far"
    return "warnings so far" if warnings(run) else "good so far"
