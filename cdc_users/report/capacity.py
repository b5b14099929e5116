"""What a search for the sustainable rate came to: a sentence, a table, a file."""

from __future__ import annotations

from cdc_users.measure.judgement.search_summary import PredictedFigure, ProbeRow, SearchSummary
from cdc_users.report.csv import as_csv

#: The columns of capacity.csv, one row a probe.
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
    """What the search says of a stop, and what one then showed, as lines."""
    told = found.get("predictions")
    if not told:
        return []
    at = f"at {told['rate_per_s']:,.0f} events/s"
    lines = [
        f"catch-up after {told['outage_s']:.0f} s without capture {at}:"
        f" {_predicted(told['catch_up_s'], 's')}"
    ]
    held_back = told["wal_held_back_bytes_per_s"]
    if held_back["predicted"] is not None:
        lines.append(
            f"WAL held back {at}: {_predicted(held_back, 'MB/s', 1e6)};"
            f" {told['disk_bytes'] / 1e9:g} GB last {told['disk_full_s']:,.0f} s"
        )
    return lines


def _predicted(figure: PredictedFigure, unit: str, size: float = 1) -> str:
    predicted, measured, error = figure["predicted"], figure["measured"], figure["error"]
    told = "never" if predicted is None else f"{predicted / size:,.1f} {unit} predicted"
    if measured is not None:
        told += f", {measured / size:,.1f} {unit} measured"
    return told + (f" ({error:+.0%})" if error is not None else "")


def search_table(found: SearchSummary) -> str:
    """Every probe in order, as the terminal shows it."""
    head = f"{'rate/s':>10} {'out/s':>10} {'p50':>9} {'p99':>10} {'cores':>6}  {'':<8} "
    return "\n".join(["SEARCH", head.rstrip(), *(_line(probe) for probe in found["probes"])])


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


def curve_csv(found: SearchSummary) -> str:
    """The probes as CSV."""
    return as_csv(COLUMNS, ([probe.get(name) for name in COLUMNS] for probe in found["probes"]))
