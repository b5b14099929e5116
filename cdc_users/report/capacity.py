"""The result of a search for the sustainable rate: a sentence, a table, a file."""

from __future__ import annotations

from collections.abc import Iterator

from cdc_users.measure.judgement.result import Result
from cdc_users.measure.judgement.search_summary import (
    ComparisonSummary,
    PredictedFigure,
    ProbeRow,
    SearchSummary,
)
from cdc_users.report.csv import as_csv

#: The columns of capacity.csv, one row for each probe.
COLUMNS = (
    "step",
    "rate_per_s",
    "long",
    "held",
    "delivered_per_s",
    "p50_ms",
    "p99_ms",
    "p99_9_ms",
    "cores",
    "lanes",
    "took_s",
    "reason",
)
_LIMITS = {
    "most": "it held at --most",
    "ceiling": "it held at 60 % of what the harness itself can do",
    "generator": "the generator could not offer more",
}


def searches(
    only: SearchSummary | None, compared: ComparisonSummary | None
) -> Iterator[tuple[str, SearchSummary]]:
    """Each search of a run, with the words that tell its pipeline from the others (none for the
    only one).
    """
    if only is not None:
        yield "", only
    if compared is not None:
        yield from ((one["of"], one["search"]) for one in compared["searches"])


def searches_of(result: Result) -> Iterator[tuple[str, SearchSummary]]:
    """The searches of a run that has ended."""
    return searches(result.capacity, result.capacities)


def sections(result: Result) -> Iterator[str]:
    """The results of a run's searches for the terminal, each part followed by a blank line."""
    for of, found in searches_of(result):
        yield from (search_table(found, of), "", sentence(found))
        yield from (*physics(found), "")
    if result.capacities is not None:
        yield from (*comparison_table(result.capacities), "")


def comparison_table(found: ComparisonSummary) -> list[str]:
    """The searches side by side, and the prediction of the largest from the smaller ones."""
    width = max(8, *(len(one["of"]) for one in found["searches"]))
    lines = [f"COMPARED  {'pipeline':<{width}} {'holds/s':>10} {'fails/s':>10} {'cores/10k':>10}"]
    lines += [
        f"          {one['of']:<{width}} {_rate(one['search']['low_per_s']):>10}"
        f" {_rate(one['search']['high_per_s']):>10} {_cores(_cores_per_10k(one['search'])):>10}"
        for one in found["searches"]
    ]
    if (largest := found["largest"]) is not None:
        lines.append(
            f"{largest['of']}: {largest['predicted_per_s']:,.0f}/s predicted"
            f" {largest['by']}, {largest['measured_per_s']:,.0f}/s found"
            f" ({largest['error']:+.0%})"
        )
    elif found["size"] is not None:
        lines.append(
            "the largest was not predicted: less than two searches have an answer with both ends"
        )
    if (law := found["law"]) is not None:
        lines.append(
            f"Universal Scalability Law: contention {law['contention']:g},"
            f" coherency {law['coherency']:g}"
        )
    elif found["size"] is not None:
        lines.append(
            f"no law was fitted to all of them: it needs {found['law_needs_points']} sizes whose"
            " answers have both ends and agree"
        )
    return lines


def compared_sentence(found: ComparisonSummary) -> str:
    """The rate that each of several pipelines holds, in one sentence."""
    return "; ".join(f"{one['of']} holds {_held(one['search'])}" for one in found["searches"]) + "."


def _held(found: SearchSummary) -> str:
    low, high = found["low_per_s"], found["high_per_s"]
    if low is None:
        return "no rate that was tried" if found["kind"] == "nothing_holds" else "an unknown rate"
    if high is None:
        return f"at least {low:,.0f} events/s"
    return f"{low:,.0f} events/s and not {high:,.0f}"


def _cores_per_10k(found: SearchSummary) -> float | None:
    cost = found.get("cost")
    return cost["at_the_rate"]["cores_per_10k"] if cost else None


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def sentence(found: SearchSummary) -> str:
    """The answer in one sentence."""
    low, high = found["low_per_s"], found["high_per_s"]
    if found["kind"] == "nothing_holds":
        return f"Nothing holds: at {high:,.0f} events/s {found['why']}."
    if low is None:
        return f"There is no answer: {found['why']}."
    slo = ", ".join(found["slo"])
    if found["kind"] == "at_least":
        why = _LIMITS.get(found["limit"] or "", found["why"])
        return f"The pipeline holds at least {low:,.0f} events/s ({slo}): {why}.{_limited(found)}"
    return (
        f"The pipeline holds {low:,.0f} events/s and not {high:,.0f} ({slo}): there"
        f" {found['why']}.{_limited(found)}"
    )


def _limited(found: SearchSummary) -> str:
    narrow = found.get("bottleneck")
    return f" {narrow['words']}." if narrow and narrow.get("words") else ""


def physics(found: SearchSummary) -> list[str]:
    """The prediction for a stop, and what a stop then showed, as lines."""
    predictions = found.get("predictions")
    if not predictions:
        return []
    at = f"at {predictions['rate_per_s']:,.0f} events/s"
    most = "at most " if found["kind"] == "at_least" else ""
    lines = [
        f"catch-up after {predictions['outage_s']:.0f} s without capture {at}:"
        f" {most}{_predicted(predictions['catch_up_s'], 's')}"
    ]
    held_back = predictions["wal_held_back_bytes_per_s"]
    if held_back["predicted"] is not None:
        lines.append(
            f"WAL held back {at}: {_predicted(held_back, 'MB/s', 1e6)};"
            f" {predictions['disk_bytes'] / 1e9:g} GB last {predictions['disk_full_s']:,.0f} s"
        )
    return lines


def _predicted(figure: PredictedFigure, unit: str, size: float = 1) -> str:
    predicted, measured, error = figure["predicted"], figure["measured"], figure["error"]
    shown = "never" if predicted is None else f"{predicted / size:,.1f} {unit} predicted"
    if measured is not None:
        shown += f", {measured / size:,.1f} {unit} measured"
    return shown + (f" ({error:+.0%})" if error is not None else "")


def search_table(found: SearchSummary, of: str = "") -> str:
    """Every probe in order, for the terminal; `of` names the pipeline if there are several."""
    head = f"{'rate/s':>10} {'out/s':>10} {'p50':>9} {'p99':>10} {'cores':>6}  {'':<8} "
    return "\n".join(
        [f"SEARCH {of}".rstrip(), head.rstrip(), *(_line(probe) for probe in found["probes"])]
    )


def _line(probe: ProbeRow) -> str:
    verdict = {True: "held", False: "failed", None: "weak"}[probe["held"]]
    kind = "confirm" if probe["long"] else "probe"
    line = (
        f"{probe['rate_per_s']:>10,.0f} {probe['delivered_per_s']:>10,.0f}"
        f" {_ms(probe['p50_ms']):>9} {_ms(probe['p99_ms']):>10}"
        f" {_cores(probe.get('cores')):>6}  {kind:<8} {verdict:<7}{probe['reason']}"
    )
    return line.rstrip()


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}ms"


def _cores(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def curve_csv(result: Result) -> str:
    """The probes of all searches as CSV; a step's name says which pipeline it was of."""
    return as_csv(
        COLUMNS,
        (
            [probe.get(name) for name in COLUMNS]
            for _, found in searches_of(result)
            for probe in found["probes"]
        ),
    )
